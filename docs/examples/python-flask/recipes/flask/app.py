"""A page that asks the database which version it is."""

import subprocess

from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello():
    return "Flask works\n"


@app.get("/database")
def database():
    # psql takes the connection from the environment: PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE
    query = ["psql", "--no-psqlrc", "--tuples-only", "--no-align", "--command", "select version()"]
    answer = subprocess.run(query, capture_output=True, text=True, timeout=10)
    return (answer.stdout, 200) if answer.returncode == 0 else (answer.stderr, 503)
