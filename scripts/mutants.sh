#!/usr/bin/env bash
# Plants one bug at a time and asks the test that must notice it: a mutant that survives is a missing test. Each patch
# says in its head what it breaks and, after `test:`, which test kills it. Works on a copy of the tree.
# Usage: scripts/mutants.sh [NAME...]; without names: all.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$PWD/target/mutants
tree=$work/tree
export CARGO_TARGET_DIR=$work/build RUST_BACKTRACE=0
mkdir -p "$tree"
# Files keep their times, so that only what changed is built again.
find "$tree" -mindepth 1 -maxdepth 1 -exec rm -rf {} +
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
    [ ! -e "$file" ] || cp -p --parents "$file" "$tree"
done

patches=()
if (($#)); then for name; do patches+=("$PWD/tests/mutants/$name.patch"); done
else patches=("$PWD"/tests/mutants/*.patch); fi

# git, in the copy and knowing of no repository around it.
planted() { GIT_CEILING_DIRECTORIES=$work git -C "$tree" "$@"; }
killer() { sed -n 's/^test: //p;T;q' "$1"; }
# asks PATCH: runs its test; the last line of cargo's output says how many ran.
asks() { (cd "$tree" && timeout 600 cargo test ${CI:+--locked} $(killer "$1") >"$work/log" 2>&1); }

echo "The tests on the tree as it is:"
for patch in "${patches[@]}"; do killer "$patch"; done | sort -u | while read -r filter; do
    # shellcheck disable=SC2086 # a list of words
    if ! (cd "$tree" && timeout 600 cargo test ${CI:+--locked} $filter >"$work/log" 2>&1) \
        || ! grep -Eq '^test result: ok\. [1-9]' "$work/log"; then
        echo "no verdict: $filter does not run green"
        tail -n 20 "$work/log"
        exit 1
    fi
done

survived=0
for patch in "${patches[@]}"; do
    name=$(basename "$patch" .patch)
    planted apply "$patch" || { echo "no verdict: $name does not apply"; exit 1; }
    if asks "$patch"; then
        survived=$((survived + 1))
        echo "SURVIVED  $name: $(head -n 1 "$patch")"
    elif grep -q '^error: could not compile' "$work/log"; then
        echo "no verdict: $name does not compile"
        tail -n 20 "$work/log"
        exit 1
    else
        echo "killed    $name"
    fi
    planted apply -R "$patch"
done
echo "${#patches[@]} mutants, $survived survived"
((survived == 0))
