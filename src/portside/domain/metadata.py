"""Where a task finds its metadata and its role's credentials. Pure."""

import hashlib

from portside.domain.task.record import Task


def credentials_path(task: Task) -> str:
    """For AWS_CONTAINER_CREDENTIALS_RELATIVE_URI; "" for a task without a role."""
    if task.task_role_arn is None:
        return ""
    digest = hashlib.sha256(f"{task.key}/{task.attachment_id}/{task.cause_id}".encode()).hexdigest()
    parts = (digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32])
    return f"/v2/credentials/{'-'.join(parts)}"
