"""Archives with the same bytes for the same content: fixed dates, owners and order."""

import gzip
import io
import os
import pathlib
import subprocess
import tarfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


def commit_time():
    """Seconds since 1970."""
    stated = os.environ.get("SOURCE_DATE_EPOCH")
    if stated:
        return int(stated)
    return int(subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def tar(entries, when):
    """A tar of (name, mode, content) in the order given; content None is a folder."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, mode, content in entries:
            entry = tarfile.TarInfo(name)
            entry.mode, entry.mtime = mode, when
            if content is None:
                entry.type = tarfile.DIRTYPE
                archive.addfile(entry)
            else:
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def tar_gz(entries, when):
    """The same, compressed."""
    return gzip.compress(tar(entries, when), 9, mtime=0)


def zip_of_program(name, content):
    """A zip with one program."""
    entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
    entry.external_attr = 0o100755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(entry, content, compresslevel=9)
    return out.getvalue()
