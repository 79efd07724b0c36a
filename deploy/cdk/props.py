"""Writes src/variables.ts: a typed and documented prop for each variable. deploy/variables calls it."""

import json
import re
import textwrap

HEADER = """\
// `riskgate config --json | deploy/variables` writes this file. Change crates/config and run it; do not edit these lines.

import { Duration } from 'aws-cdk-lib';
import { SecretSource } from './secret';

"""
# The accepted values of variables that take one of a few words. A test runs `riskgate config` with each.
CHOICES = {
    "MODE": ("monitor", "enforce"),
    "FALLBACK": ("local", "allow", "deny"),
    "NO_IP": ("score", "allow", "deny"),
    "HTTP_METHOD": ("POST", "GET"),
    "MINFRAUD_SERVICE": ("score", "insights"),
    "LEARN": ("post_auth", "allow"),
    "CALIBRATION": ("propose", "auto", "shipped"),
    "MIXTURE": ("balanced", "targeted"),
    "CHALLENGE_FALLBACK": ("deny", "allow"),
    "SESSION_SOURCE": ("sessions", "auth_events"),
    "SESSION_ON_DENY": ("report", "revoke"),
    "AUTHORIZER_RESPONSE": ("simple", "iam"),
    "UNTRUSTED_CONTEXT": ("score", "ignore"),
    "LOG": ("off", "error", "warn", "info", "debug", "trace"),
    "LOG_FORMAT": ("json", "text"),
    "ON_BAD_CONFIG": ("monitor", "refuse"),
}
SEND = ("ip", "ip_device", "all")
# Variables that take several values, separated by commas.
LISTS = {
    "CHALLENGE_ACR_VALUES", "ALLOW_CIDRS", "DENY_CIDRS", "DENY_CLIENTS", "DENY_COUNTRIES", "DENY_ASNS", "ALLOW_ASNS", "POOLS", "PROVIDERS", "ALLOW_PLAIN_HTTP",
    "WITHHOLD_GROUPS", "WITHHOLD_SCOPES", "STEP_UP_POOLS", "STEP_UP_CLIENTS", "TRUSTED_CLIENTS", "DASHBOARD_PROXY_CIDRS",
}
# Numbers without a default that shows it.
NUMBERS = {"DEGRADED_DENY_AT"}


def prop(name):
    first, *rest = name.lower().split("_")
    return first + "".join(word.capitalize() for word in rest)


def type_of(row):
    name, default = row["name"], row["default"]
    if row["secret"]:
        return "SecretSource"
    choices = SEND if name.endswith("_SEND") else CHOICES.get(name)
    if choices:
        return " | ".join(f"'{choice}'" for choice in choices)
    if name == "CHALLENGE_AT":
        return "number | 'off'"
    if name in LISTS:
        return "readonly string[]"
    if name.endswith(("_TIMEOUT", "_TTL")) or re.fullmatch(r"\d+(ms|s|m|h|d)", default):
        return "Duration | string"
    if name in NUMBERS or name.endswith("_DAILY_LIMIT") or re.fullmatch(r"[\d.]+", default):
        return "number"
    return "string"


def documented(row, deployed):
    # A comment's end inside it would end it.
    text = row["meaning"].replace("*/", "*\\/")
    yield "  /**"
    for line in textwrap.wrap(f"`RISKGATE_{row['name']}`: {text}.", 130):
        yield f"   * {line}"
    default = deployed.get(row["name"], row["default"])
    if default:
        yield f"   * @default {default}".replace("*/", "*\\/")
    yield "   */"
    yield f"  readonly {prop(row['name'])}?: {type_of(row)};"


def text(rows, deployed):
    """Returns the file's text. `deployed` has the defaults that differ from the program's."""
    lines = ["/** Every variable of riskgate as a prop. docs/CONFIGURATION.md describes them in groups. */", "export interface RiskgateVariables {"]
    for row in rows:
        lines += documented(row, deployed)
    lines += ["}", "", "/** The environment variable of each prop. */", "export const VARIABLES: Readonly<Record<keyof RiskgateVariables, string>> = {"]
    lines += [f"  {prop(row['name'])}: {json.dumps('RISKGATE_' + row['name'])},".replace('"', "'") for row in rows]
    lines += ["};"]
    return HEADER + "\n".join(lines) + "\n"
