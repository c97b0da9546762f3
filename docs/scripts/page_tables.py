"""Tables in a page of the documentation: they stand between two comments, and what is outside stays as it is."""

import argparse
import re
import sys
from pathlib import Path

from napari_nh2st.atomic import finished_file

DOCS = Path(__file__).parents[1]


def with_tables(text, tables):
    """Return the page with its tables, by name, written anew."""
    for name, table in tables.items():
        begin, end = f"<!-- begin table: {name} -->", f"<!-- end table: {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise SystemExit(f"error: the page needs {begin} and {end}, once each")
        if text.index(begin) > text.index(end):
            raise SystemExit(f"error: {end} stands before {begin}")
        between = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        content = f"{begin}\n{table}\n{end}"
        text = between.sub(lambda _, content=content: content, text)
    return text


def main(description, page, make, argv=None):
    """Write the tables of a page, or say whether they are up to date.

    `make` gives them by name, from the folder of reports.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when the page would change")
    parser.add_argument("--reports", type=Path, default=DOCS / "reports")
    parser.add_argument("--page", type=Path, default=DOCS / page)
    chosen = parser.parse_args(argv)
    tables = make(chosen.reports)
    old = chosen.page.read_text("utf-8")
    new = with_tables(old, tables)
    if new == old:
        return 0
    if chosen.check:
        print(f"error: the tables of {chosen.page} are not those of the reports: make docs-tables", file=sys.stderr)
        return 1
    with finished_file(chosen.page) as draft:
        draft.write_text(new, "utf-8")
    return 0
