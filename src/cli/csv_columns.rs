//! Which column of a CSV file is what, and the lead that a row makes. Only what cannot be sent is refused here: whether
//! a number or a zone is a good one is the server's to say.

use csv::ByteRecord;
use prost::Message as _;

use super::Error;
use crate::pb::NewLead;

/// Columns that a refused file carries in front of the original ones; ignored when it is imported again.
pub const REFUSED_COLUMNS: [&str; 2] = ["refused_line", "refused_reason"];

/// No lead that keeps the contract's bounds is nearly as large.
const LEAD_BYTES_MAX: usize = 256 << 10;

/// `field=Column` of `--map`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    field: Field,
    column: String,
}

/// The fields of a lead that a column can fill; all other columns are variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Number,
    ExternalId,
    Score,
    TimeZone,
}

impl Field {
    /// The name, then the headings that are understood without a mapping.
    fn headings(self) -> &'static [&'static str] {
        match self {
            Self::Number => &["number", "phone", "phone_number"],
            Self::ExternalId => &["external_id", "id"],
            Self::Score => &["score"],
            Self::TimeZone => &["time_zone", "timezone", "zone"],
        }
    }
}

impl std::str::FromStr for Mapping {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, column) = text.split_once('=').ok_or("not FIELD=Column")?;
        let fields = [Field::Number, Field::ExternalId, Field::Score, Field::TimeZone];
        let field = fields.into_iter().find(|field| field.headings()[0] == name.trim());
        let field = field.ok_or(format!("\"{name}\" is not number, external_id, score or time_zone"))?;
        Ok(Self { field, column: column.trim().to_owned() })
    }
}

/// Where in a row each field of a lead stands.
#[derive(Debug, PartialEq, Eq)]
pub struct Columns {
    number: usize,
    external_id: Option<usize>,
    score: Option<usize>,
    time_zone: Option<usize>,
    variables: Vec<(usize, String)>,
}

impl Columns {
    /// Settles which column is what; known headings first, then `mappings`.
    pub fn resolve(headings: &[String], mappings: &[Mapping]) -> Result<Self, Error> {
        for (index, heading) in headings.iter().enumerate() {
            if headings[..index].contains(heading) {
                return Err(Error::Usage(format!("the heading \"{heading}\" stands there twice")));
            }
        }
        let find = |field: Field| -> Result<Option<usize>, Error> {
            let Some(mapping) = mappings.iter().rfind(|mapping| mapping.field == field) else {
                let known = |name: &&str| headings.iter().position(|heading| heading.eq_ignore_ascii_case(name));
                return Ok(field.headings().iter().find_map(known));
            };
            let found = headings.iter().position(|heading| *heading == mapping.column);
            let missing = || format!("--map: no column \"{}\"; there are: {}", mapping.column, headings.join(", "));
            found.map(Some).ok_or_else(|| Error::Usage(missing()))
        };
        let number = find(Field::Number)?.ok_or_else(|| {
            Error::Usage(format!(
                "no column with the numbers; name it by --map number=COLUMN; there are: {}",
                headings.join(", ")
            ))
        })?;
        let (external_id, score, time_zone) = (find(Field::ExternalId)?, find(Field::Score)?, find(Field::TimeZone)?);
        let taken = [Some(number), external_id, score, time_zone];
        let variables = headings
            .iter()
            .enumerate()
            .filter(|(index, heading)| {
                let ours = REFUSED_COLUMNS.contains(&heading.as_str());
                !taken.contains(&Some(*index)) && !heading.is_empty() && !ours
            })
            .map(|(index, heading)| (index, heading.clone()))
            .collect();
        Ok(Self { number, external_id, score, time_zone, variables })
    }

    /// Only the column of the numbers, as settled by [`Columns::resolve`]: what stands in the others does not matter.
    pub fn numbers_only(self) -> Self {
        Self { number: self.number, external_id: None, score: None, time_zone: None, variables: Vec::new() }
    }

    /// The lead of a row, or why there is none.
    pub fn lead(&self, row: &ByteRecord, headings: &[String]) -> Result<NewLead, String> {
        if row.len() != headings.len() {
            return Err(format!("the row has {} columns, the heading {}", row.len(), headings.len()));
        }
        let text = |index: usize| {
            let cell = row.get(index).unwrap_or_default();
            std::str::from_utf8(cell).map_err(|_| format!("{}: not UTF-8 text", headings[index]))
        };
        let optional = |index: Option<usize>| index.map_or(Ok(""), text).map(str::trim);
        let score = match optional(self.score)? {
            "" => None,
            score => Some(score.parse().map_err(|_| "score: not a whole number".to_owned())?),
        };
        let mut lead = NewLead {
            number: text(self.number)?.trim().to_owned(),
            external_id: optional(self.external_id)?.to_owned(),
            score,
            time_zone: optional(self.time_zone)?.to_owned(),
            variables: Default::default(),
        };
        for (index, heading) in &self.variables {
            // An empty cell is no variable: exports fill their gaps with empty cells.
            let value = text(*index)?;
            if !value.is_empty() {
                lead.variables.insert(heading.clone(), value.to_owned());
            }
        }
        match lead.encoded_len() {
            0..=LEAD_BYTES_MAX => Ok(lead),
            bytes => Err(format!("the row has {bytes} bytes")),
        }
    }
}
