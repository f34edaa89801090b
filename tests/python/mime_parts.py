"""Prints the parts of a MIME document as JSON: [[content type, body], ...]."""

import email
import json
import sys

with open(sys.argv[1], encoding="us-ascii") as file:
    document = email.message_from_file(file)
parts = [part for part in document.walk() if not part.is_multipart()]
if document.defects or not document.is_multipart():
    sys.exit(f"no MIME document of several parts: {document.defects}")
print(json.dumps([[part.get_content_type(), part.get_payload()] for part in parts]))
