"""The plain loop's three models, and its steps by SQLAlchemy's sessions."""

import datetime
import uuid

from sqlalchemy import ForeignKey, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    pass


class Campaign(Base):
    __tablename__ = "campaigns"
    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str]
    max_attempts: Mapped[int]
    allowed_call_start: Mapped[datetime.time]
    allowed_call_end: Mapped[datetime.time]


class Contact(Base):
    __tablename__ = "contacts"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id"))
    phone: Mapped[str]
    state: Mapped[str]
    attempts_count: Mapped[int]
    do_not_call: Mapped[bool]
    updated_at: Mapped[datetime.datetime]


class CallAttempt(Base):
    __tablename__ = "call_attempts"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    contact_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("contacts.id"))
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id"))
    attempt_number: Mapped[int]
    started_at: Mapped[datetime.datetime]
    ended_at: Mapped[datetime.datetime | None]
    outcome: Mapped[str | None]


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Models:
    """One session for the scheduler, one per outcome, as a webhook's handler would have."""

    def __init__(self, url: str, most_at_once: int, batch: int) -> None:
        self.engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:", 1))
        self.session = Session(self.engine, expire_on_commit=False)
        self.most_at_once = most_at_once
        self.batch = batch

    def eligible(self, most: int) -> list[Contact]:
        found: list[Contact] = []
        for campaign in self.session.scalars(select(Campaign).where(Campaign.status == "running")).all():
            if not campaign.allowed_call_start <= datetime.datetime.now().time() <= campaign.allowed_call_end:
                continue
            going_on = self.session.scalar(
                select(func.count()).where(Contact.campaign_id == campaign.id, Contact.state == "in_progress")
            )
            contacts = (
                select(Contact)
                .where(
                    Contact.campaign_id == campaign.id,
                    Contact.state.in_(["pending", "not_reached"]),
                    Contact.attempts_count < campaign.max_attempts,
                    Contact.do_not_call.is_(False),
                )
                .limit(min(self.batch, self.most_at_once - going_on, most))
            )
            found += self.session.scalars(contacts).all()
        return found

    def lease(self, contact: Contact) -> uuid.UUID:
        contact.state = "in_progress"
        contact.attempts_count += 1
        contact.updated_at = now()
        attempt = CallAttempt(
            contact_id=contact.id,
            campaign_id=contact.campaign_id,
            attempt_number=contact.attempts_count,
            started_at=now(),
        )
        self.session.add(attempt)
        self.session.commit()
        return attempt.id

    def outcome(self, call: uuid.UUID) -> None:
        with Session(self.engine) as session:
            attempt = session.get_one(CallAttempt, call)
            attempt.ended_at = now()
            attempt.outcome = "completed"
            session.get_one(Contact, attempt.contact_id).state = "completed"
            session.commit()
