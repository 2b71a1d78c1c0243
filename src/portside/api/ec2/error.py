"""EC2's errors, in its own words. EC2 has no error shapes: codes are those of
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
"""

from portside.aws.service import ServiceError


def invalid_value(message: str) -> ServiceError:
    return ServiceError("InvalidParameterValue", message)


def missing_parameter(name: str) -> ServiceError:
    return ServiceError("MissingParameter", f"The request must contain the parameter {name}")


def vpc_not_found(vpc_id: str) -> ServiceError:
    return ServiceError("InvalidVpcID.NotFound", f"The vpc ID '{vpc_id}' does not exist")


def subnet_not_found(subnet_id: str) -> ServiceError:
    return ServiceError("InvalidSubnetID.NotFound", f"The subnet ID '{subnet_id}' does not exist")


def group_not_found(group: str) -> ServiceError:
    return ServiceError("InvalidGroup.NotFound", f"The security group '{group}' does not exist")


def group_id_malformed(group_id: str) -> ServiceError:
    return ServiceError("InvalidGroupId.Malformed", f'Invalid id: "{group_id}" (expecting "sg-...")')


def rule_not_found(rule_id: str) -> ServiceError:
    return ServiceError("InvalidSecurityGroupRuleId.NotFound", f"The security group rule ID '{rule_id}' does not exist")


def permission_not_found() -> ServiceError:
    return ServiceError("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")


def interface_not_found(eni_id: str) -> ServiceError:
    return ServiceError("InvalidNetworkInterfaceID.NotFound", f"The networkInterface ID '{eni_id}' does not exist")
