"""Text as English words, and how those are pronounced that no dictionary has."""

from __future__ import annotations

import re
import unicodedata

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
GROUPS = ((1_000_000_000, "billion"), (1_000_000, "million"), (1000, "thousand"), (100, "hundred"))
SIGNS = {"&": " and ", "%": " percent ", "+": " plus ", "@": " at ", "=": " equals ", "\u2019": "'", "\u2018": "'"}
ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth"}
ORDINALS |= {"twelve": "twelfth"}

# Letters and their ARPAbet phones, the longest that fits first; "^" is where a word begins and "$" where it ends.
# What Elovitz et al. (1976, NRL 7948) found common, made short: it only has to be near enough to be aligned.
RULES = {
    "^kn": "N", "^gn": "N", "^wr": "R", "^ps": "S", "^x": "Z", "^y": "Y", "^rh": "R", "^wh": "W", "^who": "HH UW",
    "tion": "SH AH N", "sion": "ZH AH N", "ture": "CH ER", "ough": "AO", "ought": "AO T", "augh": "AO", "eigh": "EY",
    "igh": "AY", "sch": "S K", "tch": "CH", "dge": "JH", "ch": "CH", "sh": "SH", "ph": "F", "th": "TH", "gh": "G",
    "gh$": "F", "ck": "K", "ng": "NG", "nk": "NG K", "qu": "K W", "wh": "W", "mb$": "M", "sc": "S K", "sce": "S EH",
    "sci": "S AY", "ce": "S EH", "ci": "S IH", "cy": "S IY", "ce$": "S", "ge$": "JH", "gi": "JH IH", "ge": "JH EH",
    "gy": "JH IY", "bb": "B", "cc": "K", "dd": "D", "ff": "F", "gg": "G", "ll": "L", "mm": "M", "nn": "N", "pp": "P",
    "rr": "R", "ss": "S", "tt": "T", "zz": "Z", "ee": "IY", "ea": "IY", "ei": "EY", "ie": "IY", "oo": "UW",
    "ou": "AW", "ow": "OW", "oa": "OW", "oi": "OY", "oy": "OY", "au": "AO", "aw": "AO", "ai": "EY", "ay": "EY",
    "ey": "IY", "ue": "UW", "ui": "UW", "eu": "UW", "ew": "UW", "ar": "AA R", "er": "ER", "ir": "ER", "or": "AO R",
    "ur": "ER", "e$": "", "es$": "Z", "ed$": "D", "y$": "IY", "le$": "AH L", "o$": "OW", "a$": "AH", "i$": "IY",
    "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH", "j": "JH", "k": "K",
    "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P", "q": "K", "r": "R", "s": "S", "t": "T", "u": "AH", "v": "V",
    "w": "W", "x": "K S", "y": "IH", "z": "Z", "'": "",
}  # fmt: skip
LONGEST = max(map(len, RULES))
SPELLED = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz",
        "EY,B IY,S IY,D IY,IY,EH F,JH IY,EY CH,AY,JH EY,K EY,EH L,EH M,EH N,OW,P IY,K Y UW,AA R,EH S,T IY,Y UW,V IY,"
        "D AH B AH L Y UW,EH K S,W AY,Z IY".split(","),
        strict=True,
    )
)


def words_of(text: str) -> list[str]:
    """The words of a text, lower case, numbers in words; without what is not spoken, such as [laughs] or <b>."""
    text = re.sub(r"\[[^\]]*\]|<[^>]*>", " ", text.lower())
    text = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    for sign, spoken in SIGNS.items():
        text = text.replace(sign, spoken)
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    words: list[str] = []
    for digits, nth, word in re.findall(r"([0-9]+)(st|nd|rd|th)?s?|([a-z]+(?:'[a-z]+)*)", text):
        words += [word] if word else _number(digits)
        if nth:
            words[-1] = ORDINALS.get(words[-1], re.sub("y$", "ie", words[-1]) + "th")
    return words


def _number(digits: str) -> list[str]:
    """A number in words, one of more than twelve digits digit by digit."""
    if len(digits) > 12 or (len(digits) > 1 and digits[0] == "0"):
        return [ONES[int(digit)] for digit in digits]
    number = int(digits)
    if 1100 <= number < 2000 or (2010 <= number < 2100 and len(digits) == 4):  # a year, most often
        tail = number % 100
        end = ["hundred"] if not tail else ([] if tail > 9 else ["oh"]) + _below(tail)
        return [*_below(number // 100), *end]
    return _below(number)


def _below(number: int) -> list[str]:
    if number < 20:
        return [ONES[number]]
    if number < 100:
        return [TENS[number // 10], *([ONES[number % 10]] if number % 10 else [])]
    size, name = next(group for group in GROUPS if number >= group[0])
    return [*_below(number // size), name, *(_below(number % size) if number % size else [])]


def pronounced(word: str) -> str:
    """ARPAbet phones of an English word by its letters alone, such as ``B L AE R K``."""
    if not re.search("[aeiouy]", word):  # spoken letter by letter
        return " ".join(SPELLED[letter] for letter in word if letter in SPELLED) or "AH"
    rest, phones = f"^{word}$", []
    while rest:
        for size in range(min(LONGEST, len(rest)), 0, -1):
            found = RULES.get(rest[:size])
            # What reads the word's end leaves a vowel somewhere: "the$" is no "th".
            if found is not None and (found or phones or rest[:size] == "'"):
                phones += found.split()
                rest = rest[size:]
                break
        else:
            rest = rest[1:]
        if rest == "$":
            break
    return " ".join(phones) or "AH"
