"""Says for each value whether a pattern matches all of it: full_match.py PATTERN VALUE..."""

import json
import re
import sys

pattern = re.compile(sys.argv[1])
print(json.dumps([pattern.fullmatch(value) is not None for value in sys.argv[2:]]))
