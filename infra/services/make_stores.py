"""Create the stores of the services: databases for Dagster and MLflow, a bucket for MLflow and DVC.

Existing ones are not changed. Addresses and credentials come from the environment: libpq's ``PGHOST``,
``PGUSER``, ``PGPASSWORD``; ``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``.

    python infra/services/make_stores.py --databases dagster mlflow --buckets fashion-ops
"""

import argparse

import boto3
import psycopg2
from botocore.exceptions import ClientError
from psycopg2 import sql


def make_databases(names: list[str]) -> None:
    """Create the databases that are missing."""
    connection = psycopg2.connect(dbname="postgres")
    connection.autocommit = True  # CREATE DATABASE cannot run inside a transaction
    with connection.cursor() as cursor:
        cursor.execute("select datname from pg_database")
        existing = {name for (name,) in cursor.fetchall()}
        for name in names:
            if name not in existing:
                cursor.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    connection.close()


def make_buckets(names: list[str]) -> None:
    """Create the buckets that do not exist or that this key cannot read."""
    s3 = boto3.client("s3")
    region = s3.meta.region_name
    place = (
        {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    )
    for name in names:
        try:
            s3.head_bucket(Bucket=name)
        except ClientError:
            s3.create_bucket(Bucket=name, **place)  # AWS wants the region named, except its first one


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Create databases and buckets that are missing.")
    parser.add_argument("--databases", nargs="*", default=[])
    parser.add_argument("--buckets", nargs="*", default=[])
    options = parser.parse_args()
    make_databases(options.databases)
    make_buckets(options.buckets)
