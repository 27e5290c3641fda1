"""Is a certificate of `rlgrid solve WORLD --certificate FILE` valid? Checked in fractions, without rlgrid.

Format, theorem and proof: docs/planning.md, "A plan that proves itself". Exit code 0: valid; 1: not.
"""

import json
import re
import sys
from fractions import Fraction
from itertools import accumulate

KEYS = ["bound", "discount", "format", "lower", "name", "policy", "states", "upper", "values", "version"]
MOST_BYTES, MOST_WORK = 2**27, 2**46  # of the file; squares of the bits of all sums on the way: two minutes or so


def need(condition, sentence):
    if not condition:
        raise ValueError(sentence)


def fraction(text, where):
    good = isinstance(text, str) and re.fullmatch("-?[0-9]{1,4300}(/[1-9][0-9]{0,4299})?", text)
    need(good, f'{where}: found {text!r:.40}; allowed: a fraction as text, such as "-1/25"')
    return Fraction(text)


def read(text):
    no = lambda found: need(False, f"found the number {found:.20}; allowed: indices, fractions as text")  # noqa: E731
    once = lambda pairs: need(len(dict(pairs)) == len(pairs), "an object has a key twice") or dict(pairs)  # noqa: E731
    index = lambda digits: int(digits) if digits.isdigit() and len(digits) < 10 else no(digits)  # noqa: E731
    need(len(text) <= MOST_BYTES, f"it has more than {MOST_BYTES} bytes")
    return json.loads(text, object_pairs_hook=once, parse_int=index, parse_float=no, parse_constant=no)


def check(c):
    """The sentence about a valid certificate; a ValueError with one about any other."""
    need(isinstance(c, dict) and sorted(c) == KEYS, f"allowed: one object with the keys {', '.join(KEYS)}")
    need((c["format"], str(c["version"])) == ("rlgrid certificate", "1"), 'allowed: "rlgrid certificate", version 1')
    discount, bound, spent = fraction(c["discount"], "discount"), fraction(c["bound"], "bound"), 0
    need(0 <= discount <= 1 and bound >= 0, "allowed: a discount from 0 to 1, and a bound of at least 0")
    lists = [c[key] for key in ("states", "policy", "values", "lower", "upper")]
    need(all(isinstance(x, list) and len(x) == len(c["states"]) for x in lists), "not five lists of one length")
    v, lower, upper = ([x if x is None else fraction(x, "a value") for x in numbers] for numbers in lists[2:])

    def total(first, terms):
        nonlocal spent
        for result in accumulate(terms, initial=first):
            spent += (result.denominator.bit_length() + result.numerator.bit_length()) ** 2
            need(spent <= MOST_WORK, "its numbers are too long to be checked")
        return result

    for s, (actions, chosen) in enumerate(zip(*lists[:2], strict=True)):
        need(isinstance(actions, dict) and actions, f"state {s}: no actions")
        for name, (reward, outcomes) in actions.items():
            where = f"state {s}, action {name!r:.20}"
            pay, row = fraction(reward, where), [(t, fraction(p, where), ends) for t, p, ends in outcomes]
            good = all(type(t) is int and 0 <= t < len(v) and p > 0 and type(ends) is bool for t, p, ends in row)
            need(good and total(Fraction(0), (p for _, p, _ in row)) == 1, f"{where}: no distribution over next states")
            for w, sign in ((upper, 1), *([(lower, -1)] if name == chosen else [])):
                if w[s] is not None:  # upper: u >= q, and > q where u < 0; lower: l <= q, and < q where l > 0
                    need(all(ends or w[t] is not None for t, _, ends in row), f"{where}: it leads to an unknown value")
                    gap = sign * (w[s] - total(pay, (discount * p * w[t] for t, p, ends in row if not ends)))
                    need(gap > 0 or (gap == 0 and (discount < 1 or sign * w[s] >= 0)), f"{where}: nothing is proven")
        need(lower[s] is None or chosen in [*actions], f"state {s}: the policy takes none of its actions")
        need(None in (lower[s], upper[s]) or lower[s] <= upper[s], f"state {s}: lower is above upper")
        near = v[s] is None or all(w[s] is not None and abs(w[s] - v[s]) <= bound for w in (lower, upper))
        need(near, f"state {s}: its value is further from lower or upper than the bound")
    need(proven := len(v) - v.count(None), "it claims nothing")
    return f"valid: {proven} of {len(v)} values are proven to within {c['bound']:.40}, at discount {c['discount']:.40}"


if __name__ == "__main__":
    try:
        need(len(sys.argv) == 2, "usage: check_certificate.py FILE")
        with open(sys.argv[1], "rb") as file:
            sentence, code = check(read(file.read(MOST_BYTES + 1))), 0
    except (OSError, TypeError, ValueError, RecursionError, MemoryError) as error:
        sentence, code = f"not valid: {' '.join(str(error).split()) or type(error).__name__:.200}", 1
    print(sentence.encode("ascii", "backslashreplace").decode())
    sys.exit(code)
