"""Makes `flights.gz` of the table `flights` of nycflights13: python3 columns.py <flights.csv >flights.gz"""

import csv
import gzip
import sys

COLUMNS = ["month", "day", "hour", "dep_delay", "carrier", "origin", "dest", "tailnum"]

rows = list(csv.DictReader(sys.stdin))
lines = []
for column in COLUMNS:
    lines.append(column)
    lines.extend(row[column] for row in rows)
text = "\n".join(lines) + "\n"
sys.stdout.buffer.write(gzip.compress(text.encode(), 9, mtime=0))
