"""Writes the code blocks of a page that name a file (```js file=backend.mjs) into a directory: what is printed is what is run."""

import pathlib
import re
import sys

page, directory = sys.argv[1:3]
found = re.findall(r"^```\w+ file=(\S+)\n(.*?)^```$", pathlib.Path(page).read_text(), re.MULTILINE | re.DOTALL)
assert found, f"no code block of {page} names a file"
for name, text in found:
    path = pathlib.Path(directory, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
