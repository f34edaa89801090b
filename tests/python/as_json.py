"""Prints templates as JSON, one a line: CloudFormation's short forms written out."""

import json
import sys

from cfnlint.decode.cfn_yaml import load

for path in sys.argv[1:]:
    print(json.dumps(load(path)))
