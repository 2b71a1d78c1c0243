"""Preferences of an account: ids are long, and there is no other choice any more.

Source: API_PutAccountPreferences of EFS.
"""

from typing import Any, Final

from portside.api.efs.lookup import bad_request
from portside.aws.service import Handler, Params, RequestContext, Result

_PREFERENCE: Final[dict[str, Any]] = {"ResourceIdType": "LONG_ID", "Resources": ["FILE_SYSTEM", "MOUNT_TARGET"]}


def handlers() -> dict[str, Handler]:
    return {"DescribeAccountPreferences": _describe, "PutAccountPreferences": _put}


def _describe(context: RequestContext, params: Params) -> Result:
    return {"ResourceIdPreference": _PREFERENCE}


def _put(context: RequestContext, params: Params) -> Result:
    if params["ResourceIdType"] != "LONG_ID":
        raise bad_request("The account preference can not be set to ids of 8 characters any more.")
    return {"ResourceIdPreference": _PREFERENCE}
