"""Builds countries.csv: position, extent, time zones and neighbours of each territory."""

import csv
import json
import math
import pathlib
import re
from importlib import resources

import iso3166

EARTH_KM = 6371.0088  # mean radius (IUGG)
SMALLEST_KM = 5.0  # the smallest radius of a territory

# Separate shapes of Natural Earth that have no ISO number. All others without a number are reefs
# and bases without networks of that name.
PART_OF = {
    "Akrotiri": "CY", "Ashmore and Cartier Is.": "AU", "Baikonur": "KZ", "Coral Sea Is.": "AU",
    "Cyprus U.N. Buffer Zone": "CY", "Dhekelia": "CY", "Indian Ocean Ter.": "AU", "Kosovo": "XK",
    "N. Cyprus": "CY", "Somaliland": "SO",
}

# Territories with their own code that Natural Earth draws inside another: the host, and the largest
# distance (km) between a place of the territory and a shape of the host that belongs to it.
CARVED = {
    "BQ": ("NL", 40), "BV": ("NO", 40), "CC": ("AU", 60), "CX": ("AU", 60), "GF": ("FR", 60),
    "GP": ("FR", 80), "MQ": ("FR", 60), "RE": ("FR", 80), "SJ": ("NO", 500), "TK": ("NZ", 200),
    "YT": ("FR", 60),
}

# Places that the time zone database lacks: Bouvet, Saba and Sint Eustatius, Heard, Kosovo.
PLACES = {
    "BQ": [(17.63, -63.24), (17.49, -62.98)], "BV": [(-54.42, 3.36)], "HM": [(-53.10, 73.51)],
    "XK": [(42.67, 21.17)],
}
ZONES = {"XK": ["Europe/Belgrade"]}

# The time zone database lists a country's zones by position. This file lists the most populous zone
# first. For all other countries, it is already the first.
MOST_PEOPLE = {
    "AU": "Australia/Sydney", "BR": "America/Sao_Paulo", "CA": "America/Toronto",
    "FM": "Pacific/Pohnpei", "PS": "Asia/Hebron", "RU": "Europe/Moscow", "UA": "Europe/Kyiv",
    "UZ": "Asia/Tashkent",
}


def build(fetch, target):
    places, zones = read_zones()
    shapes = read_shapes(fetch("world-atlas") / "countries-10m.json")
    carve(shapes, places)
    neighbours = touching(shapes)

    codes = sorted({country.alpha2 for country in iso3166.countries} | set(PLACES))
    rows = []
    for code in codes:
        lat, lon, radius, spread = extent(shapes.get(code, []), places[code])
        rows.append([code, f"{lat:.2f}", f"{lon:.2f}", round(radius), round(spread),
                     " ".join(zones.get(code, [])), " ".join(sorted(neighbours.get(code, [])))])
    with open(target, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["code", "lat", "lon", "radius_km", "spread_km", "zones", "neighbours"])
        writer.writerows(rows)
    print(f"{target.name}: {len(rows)} territories")


# Reading the sources


def read_zones():
    """Returns places (lat, lon) and zone names by country, in the order of the time zone database."""
    places, zones = {code: list(at) for code, at in PLACES.items()}, dict(ZONES)
    table = resources.files("tzdata") / "zoneinfo" / "zone.tab"
    for line in table.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            code, at, zone, *_ = line.split("\t")
            places.setdefault(code, []).append(degrees(at))
            zones.setdefault(code, []).append(zone)
    for code, zone in MOST_PEOPLE.items():
        zones[code].remove(zone)
        zones[code].insert(0, zone)
    return places, zones


def degrees(text):
    """ISO 6709: +-DDMM+-DDDMM or +-DDMMSS+-DDDMMSS."""
    out = []
    for sign, digits in re.findall(r"([+-])(\d+)", text):
        width = 2 if not out else 3
        d, m, s = digits[:width], digits[width:width + 2], digits[width + 2:] or "0"
        out.append((1 if sign == "+" else -1) * (int(d) + int(m) / 60 + int(s) / 3600))
    return tuple(out)


class Shape:
    """A polygon: its rings of (lat, lon), the outer first, and the arcs of the rings."""

    def __init__(self, rings, arcs):
        self.rings = rings
        self.arcs = arcs


def read_shapes(path):
    """Returns the polygons by territory code."""
    atlas = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    scale, shift = atlas["transform"]["scale"], atlas["transform"]["translate"]
    lines = []
    for steps in atlas["arcs"]:
        x = y = 0
        line = []
        for dx, dy in steps:
            x, y = x + dx, y + dy
            line.append((y * scale[1] + shift[1], x * scale[0] + shift[0]))
        lines.append(line)

    def ring(arcs):
        out = []
        for arc in arcs:
            line = lines[arc] if arc >= 0 else lines[~arc][::-1]
            out.extend(line[1:] if out else line)
        return out

    shapes = {}
    for geometry in atlas["objects"]["countries"]["geometries"]:
        known = iso3166.countries_by_numeric.get(geometry.get("id"))
        code = PART_OF.get(geometry["properties"]["name"]) or (known and known.alpha2)
        polygons = geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]
        for polygon in polygons if code else []:
            arcs = {arc if arc >= 0 else ~arc for part in polygon for arc in part}
            shapes.setdefault(code, []).append(Shape([ring(part) for part in polygon], arcs))
    return shapes


# Shaping


def carve(shapes, places):
    for code, (host, km) in CARVED.items():
        mine = [shape for shape in shapes[host] if any(
            apart(vertex, place) <= km for place in places[code] for vertex in shape.rings[0])]
        if mine:
            shapes[host] = [shape for shape in shapes[host] if shape not in mine]
            shapes[code] = mine


def touching(shapes):
    """Returns the territories that share a border line (not a corner, not a sea)."""
    owners = {}
    for code, parts in shapes.items():
        for arc in {arc for shape in parts for arc in shape.arcs}:
            owners.setdefault(arc, set()).add(code)
    out = {}
    for codes in owners.values():
        for code in codes:
            out.setdefault(code, set()).update(codes - {code})
    return out


def extent(shapes, places):
    """Returns the centroid in degrees, and the radii in km of the discs of equal area and of equal spread.

    Spread is the mean square distance of the land from the centroid. For a round country both
    radii are equal. For a long or scattered one (Chile, Kiribati) the spread is much larger.
    """
    area, moment = 0.0, [0.0, 0.0, 0.0]
    for shape in shapes:
        for index, ring in enumerate(shape.rings):
            points = [unit(at) for at in ring[:-1]]
            part, vector = signed_area(points), first_moment(points)
            # Regardless of the direction of a ring, the outer one adds and the holes subtract.
            sign = math.copysign(1.0, part) * (1 if index == 0 else -1)
            area += sign * part
            moment = [m + sign * v for m, v in zip(moment, vector)]
    length = math.sqrt(dot(moment, moment))
    if not length:  # not drawn, or so small that its corners coincide
        lat, lon = places[0]
        return lat, lon, SMALLEST_KM, SMALLEST_KM
    x, y, z = (m / length for m in moment)
    mean_square_chord = max(0.0, 2 * (1 - length / area))
    spread = EARTH_KM * math.sqrt(2) * 2 * math.asin(math.sqrt(mean_square_chord) / 2)
    radius = EARTH_KM * math.sqrt(area / math.pi)
    radius = max(radius, SMALLEST_KM)
    return math.degrees(math.asin(z)), math.degrees(math.atan2(y, x)), radius, max(radius, spread)


def signed_area(points):
    """Returns the area on the unit sphere, by a fan of triangles (van Oosterom and Strackee, 1983)."""
    total, first = 0.0, points[0]
    for a, b in zip(points[1:], points[2:]):
        total += 2 * math.atan2(dot(first, cross(a, b)), 1 + dot(first, a) + dot(a, b) + dot(b, first))
    return total


def first_moment(points):
    """Returns the integral of position over the polygon: half the sum of each side's normal times its angle."""
    total = [0.0, 0.0, 0.0]
    for a, b in zip(points, points[1:] + points[:1]):
        normal = cross(a, b)
        sine = math.sqrt(dot(normal, normal))
        if sine > 0:
            angle = math.atan2(sine, dot(a, b))
            total = [t + angle * n / sine / 2 for t, n in zip(total, normal)]
    return total


def unit(at):
    lat, lon = map(math.radians, at)
    return (math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat))


def dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a, b):
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def apart(a, b):
    a, b = unit(a), unit(b)
    normal = cross(a, b)
    return EARTH_KM * math.atan2(math.sqrt(dot(normal, normal)), dot(a, b))
