"""Listener rules: create, describe, modify, delete, priorities. The default rule is the listener's default action."""

from portside.api.elbv2 import error, lookup, wire
from portside.api.elbv2.page import page
from portside.aws.service import Handler, Params, RequestContext, Result, ServiceError
from portside.domain import load_balancer_rule as rules
from portside.domain.clock import Ids
from portside.domain.listener_condition import check_conditions
from portside.domain.load_balancer import Rule
from portside.domain.record import replace
from portside.domain.table import RULE
from portside.store.interface import ABSENT, Delete, Put, Store


class RuleHandlers:
    def __init__(self, store: Store, ids: Ids) -> None:
        self._store, self._ids = store, ids

    @property
    def handlers(self) -> dict[str, Handler]:
        return {
            "CreateRule": self.create,
            "DescribeRules": self.describe,
            "ModifyRule": self.modify,
            "DeleteRule": self.delete,
            "SetRulePriorities": self.set_priorities,
        }

    def create(self, context: RequestContext, params: Params) -> Result:
        listener = lookup.listener(self._store, context, params["ListenerArn"])
        balancer = lookup.load_balancer(self._store, context, listener.load_balancer_arn)
        if balancer.type == "network":
            raise error.invalid("Rules cannot be created for listeners of a Network Load Balancer")
        if params.get("Transforms"):
            raise error.unsupported("A rule with transforms")
        conditions = wire.conditions_from(params["Conditions"])
        check_conditions(conditions)
        action = wire.action_from(params["Actions"])
        wire.check_action(listener.protocol, listener.port, action)
        lookup.check_versions(self._store, context, listener.protocol, action)
        lookup.check_forward(self._store, context, balancer, action, listener.protocol)
        tags = wire.tags_from(params.get("Tags"))
        siblings = self._store.find(RULE, "listener", listener.arn)
        if any(each.priority == params["Priority"] for each in siblings):
            raise ServiceError("PriorityInUseException", f"Priority '{params['Priority']}' is currently in use")
        listeners = lookup.listeners_of(self._store, balancer.arn)
        all_rules = lookup.rules_of(self._store, listeners)
        if len(all_rules) >= rules.RULES_PER_LOAD_BALANCER:
            raise ServiceError(
                "TooManyRulesException",
                f"The maximum number of rules on load balancer '{balancer.arn}' has been reached",
            )
        rule = Rule(
            scope=listener.scope,
            arn=f"{listener.arn.replace(':listener/', ':listener-rule/')}/{self._ids.hex(16)}",
            listener_arn=listener.arn,
            priority=params["Priority"],
            conditions=conditions,
            action=action,
            tags=tags,
        )
        lookup.check_group_count(listeners, [*all_rules, rule])
        self._store.transact(Put(RULE, rule, ABSENT))
        return {"Rules": [wire.rule_to(rule)]}

    def describe(self, context: RequestContext, params: Params) -> Result:
        wanted, listener_arn = params.get("RuleArns"), params.get("ListenerArn")
        if bool(wanted) == bool(listener_arn):
            raise error.invalid("You must specify either listener rule ARNs or a listener ARN")
        if listener_arn:
            listener = lookup.listener(self._store, context, listener_arn)
            found = [wire.rule_to(each) for each in rules.in_order(self._store.find(RULE, "listener", listener.arn))]
            found.append(wire.default_rule_to(listener))
        else:
            found = [self._shown(context, arn) for arn in wanted or ()]
        shown, more = page(found, params)
        return {"Rules": list(shown), **more}

    def _shown(self, context: RequestContext, arn: str) -> Result:
        rule = self._store.get(RULE, context.prefix + arn)
        if rule is not None:
            return wire.rule_to(rule)
        listener = lookup.listener_of_default(self._store, context, arn)
        if listener is None:
            lookup.check_arn(arn, "listener rule")
            raise ServiceError("RuleNotFoundException", "One or more rules not found")
        return wire.default_rule_to(listener)

    def _refuse_default(self, context: RequestContext, arn: str, what: str) -> None:
        if lookup.listener_of_default(self._store, context, arn) is not None:
            raise ServiceError("OperationNotPermittedException", f"Default rule '{arn}' cannot be {what}")

    def modify(self, context: RequestContext, params: Params) -> Result:
        self._refuse_default(context, params["RuleArn"], "modified")
        rule = lookup.rule(self._store, context, params["RuleArn"])
        if params.get("Transforms"):
            raise error.unsupported("A rule with transforms")
        if "Conditions" in params:
            conditions = wire.conditions_from(params["Conditions"])
            check_conditions(conditions)
            rule = replace(rule, conditions=conditions)
        if "Actions" in params:
            action = wire.action_from(params["Actions"])
            listener = lookup.listener(self._store, context, rule.listener_arn)
            wire.check_action(listener.protocol, listener.port, action)
            lookup.check_versions(self._store, context, listener.protocol, action)
            balancer = lookup.load_balancer(self._store, context, listener.load_balancer_arn)
            lookup.check_forward(self._store, context, balancer, action, listener.protocol)
            rule = replace(rule, action=action)
            listeners = lookup.listeners_of(self._store, balancer.arn)
            others = [each for each in lookup.rules_of(self._store, listeners) if each.arn != rule.arn]
            lookup.check_group_count(listeners, [*others, rule])
        self._store.transact(Put(RULE, rule))
        return {"Rules": [wire.rule_to(rule)]}

    def delete(self, context: RequestContext, params: Params) -> Result:
        self._refuse_default(context, params["RuleArn"], "deleted")
        rule = lookup.rule(self._store, context, params["RuleArn"])
        self._store.transact(Delete(RULE, RULE.key(rule)))
        return {}

    def set_priorities(self, context: RequestContext, params: Params) -> Result:
        """All or none; rules may swap their priorities."""
        changed: dict[str, Rule] = {}
        for pair in params["RulePriorities"]:
            for member in ("RuleArn", "Priority"):
                if member not in pair:
                    raise error.invalid(f"A {member} must be specified for each rule")
            self._refuse_default(context, pair["RuleArn"], "modified")
            rule = lookup.rule(self._store, context, pair["RuleArn"])
            changed[rule.arn] = replace(rule, priority=pair["Priority"])
        for listener_arn in {rule.listener_arn for rule in changed.values()}:
            siblings = self._store.find(RULE, "listener", listener_arn)
            priorities = [changed.get(each.arn, each).priority for each in siblings]
            for priority in priorities:
                if priorities.count(priority) > 1:
                    raise ServiceError("PriorityInUseException", f"Priority '{priority}' is currently in use")
        self._store.transact(*(Put(RULE, rule) for rule in changed.values()))
        return {"Rules": [wire.rule_to(rule) for rule in changed.values()]}
