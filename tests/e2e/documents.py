"""The command blocks of the documents: tests/e2e/15-documents.sh runs them.

  documents.py check PAGE..                  every command block is run or states why not; no block is merely indented
  documents.py script PAGE DIRECTORY         a bash script of the page's blocks, in order, in one shell; OLD=>NEW.. replaces text in it
  documents.py compare PAGE DIRECTORY        the outputs that the page prints, against those that the script wrote there

A block is a fence of the language `sh`. Words after it: `no-run: REASON` for one that is not run, `background` for one that runs until it is
stopped, here until it listens. The fence `text output` holds the output of the block before it; digits and ids are not compared.
"""

import pathlib
import re
import sys
import textwrap

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w-]+)(?: (?P<words>.+?))?\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)
SHELLS = {"sh", "bash", "shell", "console"}
INDENTED = re.compile(r"^(?: {4}|\t)(?:\$ |(?:aws|cargo|curl|deploy/|docker|duckdb|export|just|kubectl|riskgate|sam|sudo) )", re.MULTILINE)


def blocks(page):
    text = pathlib.Path(page).read_text()
    for found in FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield line, found["language"], found["words"] or "", textwrap.dedent(found["text"])


def check(pages):
    problems, run, excused = [], 0, 0
    for page in pages:
        outside = FENCE.sub(lambda found: "\n" * found[0].count("\n"), pathlib.Path(page).read_text())
        for found in INDENTED.finditer(outside):
            problems.append(f"{page}:{outside.count(chr(10), 0, found.start()) + 1}: an indented command is not run: use a fence")
        for line, language, words, _ in blocks(page):
            if language not in SHELLS:
                continue
            if language != "sh" or (words not in ("", "background") and not re.fullmatch(r"no-run: \S.+", words)):
                problems.append(f"{page}:{line}: ```{language} {words}: use sh, sh background or sh no-run: REASON")
            run, excused = run + (not words.startswith("no-run")), excused + words.startswith("no-run")
    assert not problems, "\n".join(problems)
    print(f"{run} command blocks are run, {excused} state why not")


def script(page, directory, replacements):
    lines = ["set -euo pipefail"]
    number = 0
    for line, language, words, text in blocks(page):
        if language != "sh" or words.startswith("no-run"):
            continue
        for before, after in (pair.split("=>", 1) for pair in replacements):
            text = text.replace(before, after)
        number += 1
        out = f"{directory}/{line}.out"
        if words == "background":
            lines.append(f'set -m; {{ {text}\n}} >"{out}" 2>&1 & background=$!; set +m\nuntil_listens "$PORT" 60; kill -INT -- "-$background"; wait "$background" || true')
        else:
            lines.append(f'AT={page}:{line}\n{{\n{text}\n}} >"{out}"')
    lines.append(f'echo "  {page}: {number} blocks ran"')
    print("\n".join(lines))


def normalised(text):
    text = re.sub(r"\b[0-9A-HJKMNP-TV-Z]{26}\b", "ID", text)
    return [re.sub(r"\d+(\.\d+)?", "0", line).strip() for line in text.strip().splitlines()]


def compare(page, directory):
    before = None
    for line, language, words, text in blocks(page):
        if language == "sh" and not words.startswith("no-run"):
            before = line
        elif language == "text" and words == "output":
            got = pathlib.Path(directory, f"{before}.out").read_text()
            assert normalised(got) == normalised(text), f"{page}:{line}: the page prints\n{text}\nthe command prints\n{got}"


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "check":
        check(arguments)
    elif command == "script":
        script(arguments[0], arguments[1], arguments[2:])
    else:
        compare(*arguments)
