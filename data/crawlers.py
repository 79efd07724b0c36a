"""Writes crawlers.txt: product names of crawlers and programs, from the patterns of the PyPI package crawlerdetect (MIT).

    pip install -r data/requirements.txt && python data/crawlers.py > data/crawlers.txt

A name is matched as one to three complete words of a user agent, so only patterns without alternatives are used. Names that an app may have are left out:
short words, and words that say nothing about a program.
"""

import re
from importlib import metadata

from crawlerdetect.providers.crawlers import data as PATTERNS

# Parts of names that say what a program does, or for which service it works.
PURPOSES = """http bot crawl fetch feed link check monitor scan search seo spider site web url index archiv google facebook valid uptime probe agent proxy preview thumb
rss grab scrap bench library client download harvest extract collector synthetic health hook image ssl domain sniff snippet copyright analy audit page meta news amazon
bing yandex baidu yahoo naver daum slack linkedin telegram skype pinterest""".split()

# Programs with which people sign in, and names that apps have.
APPS = {
    "airmail", "androiddownloadmanager", "apache openoffice", "autonomy", "blackwidow", "blowfish", "butterfly", "cakephp", "charlotte", "cloudinary", "coccoc", "coldfusion", "cortex",
    "embarcadero", "evernote", "feedbin", "feeder", "feedly", "flashget", "getright", "github.com", "gitlab", "google desktop", "google-podcast", "googledocs", "googlemessages", "googlesites", "grammarly",
    "haansoft", "instapaper", "integrity", "kickfire", "lighthouse", "macoutlook", "mailchimp", "mattermost", "microsoft office", "microsoft outlook", "moreover", "movabletype", "netcraft",
    "netvibes", "observatory", "optimizer", "oppo a33", "podcastaddict", "polymail", "powerpoint", "recorder", "screaming", "stumbleupon", "tarantula", "teleport", "wallpapershd", "winpodder",
}


def literal(pattern):
    """The text that a pattern matches; None if it has alternatives."""
    text = re.sub(r"\\b", "", pattern.strip("^$").strip())
    text = re.sub(r"\\?/(\\d.*|v.*|[0-9.]*)?$", "", text)
    text = re.sub(r"\\([./ !+'-])", r"\1", text)
    return text.strip().rstrip("/-").lower() if re.fullmatch(r"[A-Za-z0-9 ._!@+'-]+", text) else None


def is_used(name):
    is_specific = len(name) >= 8 or not name.isalpha() or any(purpose in name for purpose in PURPOSES)
    return len(name) >= 4 and is_specific and len(name.split()) <= 3 and name not in APPS


names = sorted({name for name in map(literal, PATTERNS) if name and is_used(name)})
print(f"# From crawlerdetect {metadata.version('crawlerdetect')} (MIT, https://github.com/moskrc/CrawlerDetect), written by crawlers.py.")
print("\n".join(names))
