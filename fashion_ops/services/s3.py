"""Where S3 is, for a question whether it answers: ``fashion_ops.services``.

MLflow and DVC reach S3 through botocore, which finds the address in arguments, in the environment or in
the files of AWS. So botocore says it here as well. It is part of the extra ``services``.
"""

from typing import Any

from fashion_ops.services import Probe, Service, ServiceError, speaks_http, without_credentials


def s3_service(
    name: str, endpoint: str | None = None, region: str | None = None, profile: str | None = None
) -> tuple[Service, Probe]:
    """The S3 that botocore would use, and its probe.

    Args:
        name: whose it is, for the message.
        endpoint: its address; None for that of the environment, of AWS's files or of AWS.
        region: None for that of the environment or of AWS's files.
        profile: section of AWS's files.

    Raises:
        ServiceError: botocore is missing, or rejects the address.
    """
    try:
        import botocore.session
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise ServiceError(
            f"{name}: needs the extra `services`: pip install fashion-ops[services]"
        ) from error
    try:
        session: Any = botocore.session.Session(profile=profile)
        keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}  # else it looks for some
        region = region or session.get_config_variable("region") or "us-east-1"
        url = session.create_client("s3", region, endpoint_url=endpoint, **keys).meta.endpoint_url
    except (BotoCoreError, ValueError) as error:
        raise ServiceError(f"{name}: its address is not usable: {error}") from error
    remedy = "start it, or correct AWS_ENDPOINT_URL or the address in the settings of the remote"
    return Service(name, without_credentials(url), remedy), speaks_http(url)
