"""The rules of rules.json in plain Python: what README.md says in words, and what vectors.json is made and checked with.

`python3 masking/reference.py` compares the vectors (their texts; JSON and streams are the crate's and the SDKs' own).
Nothing runs this in production: the crate, and the SDKs, have their own.
"""

import json
import math
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
RULES = json.load(open(os.path.join(HERE, "rules.json"), encoding="utf-8"))

TRANSPARENT = re.compile(RULES["transparent"])
ESCAPES = re.compile("(?:" + RULES["escapes"] + ")$")
WORD = re.compile("[A-Za-z0-9_]")
ALNUM = re.compile("[A-Za-z0-9]")
for rule in RULES["rules"]:
    rule["regex"] = re.compile(rule["pattern"], re.IGNORECASE if rule.get("ignore_case") else 0)
    if "back" in rule:
        rule["back_char"] = re.compile("[" + rule["back"]["chars"] + "]")
KEYWORDS = {}
for number, rule in enumerate(RULES["rules"]):
    for keyword in rule["keywords"]:
        KEYWORDS.setdefault(keyword.lower(), []).append(number)
ANY_KEYWORD = re.compile("(?=(" + "|".join(re.escape(k) for k in sorted(KEYWORDS, key=len)) + "))", re.IGNORECASE)


def entropy(text):
    """Shannon entropy of the characters, in bits each."""
    counts = {}
    for c in text:
        counts[c] = counts.get(c, 0) + 1
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())


def is_mixed(text):
    return bool(re.search("[A-Za-z]", text) and re.search("[0-9]", text))


def is_placeholder(rule, text):
    words = RULES["placeholders"] + RULES["allow"]
    if rule.get("random") or rule.get("password"):
        words = words + RULES["placeholders_of_named"]
    low = text.lower()
    return any(word.lower() in low for word in words)


def is_common_password(text):
    return text.lower() in RULES["placeholder_passwords"] or bool(re.match("[/.$%@&{<]|0x|[0-9]+/", text))


def is_random(text):
    """Whether a value looks made by a generator rather than named by a person."""
    if len(text) < 16 or text[0] in "/.$%@&" or not is_mixed(text) or entropy(text) < 3.0:
        return False
    classes = ["d" if c.isdigit() else "u" if c.isupper() else "l" for c in text if ALNUM.match(c)]
    changes = sum(a != b for a, b in zip(classes, classes[1:]))
    return changes * 100 >= len(text) * 20


def is_secret(rule, secret):
    if len(secret) < rule.get("min_length", 0):
        return False
    if "min_entropy" in rule and entropy(secret) < rule["min_entropy"]:
        return False
    if rule.get("digit") and not re.search("[0-9]", secret):
        return False
    if rule.get("mixed") and not is_mixed(secret):
        return False
    if rule.get("random") and not is_random(secret):
        return False
    if rule.get("password") and is_common_password(secret):
        return False
    return len(secret) > 200 or not is_placeholder(rule, secret)


def find(text):
    """Spans (start, end, rule number) in text, in order, without overlap."""
    found = []
    for hit in ANY_KEYWORD.finditer(text):
        at = hit.start()
        numbers = set()
        for length in range(1, 24):
            numbers.update(KEYWORDS.get(text[at : at + length].lower(), ()))
        for number in sorted(numbers):
            rule = RULES["rules"][number]
            start = at
            if "back" in rule:
                while at - start < rule["back"]["most"] and start > 0 and rule["back_char"].match(text[start - 1]):
                    start -= 1
                if at - start < rule["back"]["least"]:
                    continue
            if rule.get("word") and start > 0 and WORD.match(text[start - 1]) and not ESCAPES.search(text[max(0, start - 16) : start]):
                continue
            before = text[max(0, start - 32) : start].rstrip("_-").lower()
            if any(before.endswith(word) for word in rule.get("not_after", ())):
                continue
            match = rule["regex"].match(text, start)
            if not match:
                continue
            group = next((g for g in range(1, rule["regex"].groups + 1) if match.group(g) is not None), 0)
            begin, end = match.span(group)
            after = text[end : end + 1]
            if rule.get("end") and ALNUM.match(after):
                continue
            if "end_not" in rule and re.match("[ \\t]*=|[" + re.escape(rule["end_not"]) + "]", text[end : end + 16]):
                continue
            if is_secret(rule, text[begin:end]):
                found.append((begin, end, number))
    found.sort(key=lambda span: (span[0], span[2]))
    merged = []
    for begin, end, number in found:
        if merged and begin < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]), merged[-1][2])
        else:
            merged.append((begin, end, number))
    return merged


def mask(text):
    """The text with markers in place of secrets."""
    plain, places = text, None
    if "\x1b" in text:
        plain, places, last = "", [], 0
        for escape in TRANSPARENT.finditer(text):
            plain += text[last : escape.start()]
            places.extend(range(last, escape.start()))
            last = escape.end()
        plain += text[last:]
        places.extend(range(last, len(text)))
    out, last = "", 0
    for begin, end, number in find(plain):
        inside = ""
        if places is not None:
            begin, end = places[begin], places[end - 1] + 1
            inside = "".join(TRANSPARENT.findall(text[begin:end]))
        out += text[last:begin] + RULES["marker"].replace("{name}", RULES["rules"][number]["name"]) + inside
        last = end
    return out + text[last:]


def check():
    vectors = json.load(open(os.path.join(HERE, "vectors.json"), encoding="utf-8"))["texts"]
    wrong = [v for v in vectors if mask("".join(v["text"])) != v["masked"]]
    for vector in wrong:
        print(f"{vector['masked']!r} is expected; it is {mask(''.join(vector['text']))!r}")
    print(f"{len(vectors) - len(wrong)} of {len(vectors)} texts are as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(check())
