"""Simple Notification Service: what is implemented, in one list."""

from portside.api.sns.subscription import Subscriptions
from portside.api.sns.topic import Topics
from portside.aws.service import Service
from portside.domain.clock import Clock, Ids
from portside.store.interface import Store


def sns_service(store: Store, clock: Clock, ids: Ids) -> Service:
    """The service and its operations."""
    topics, subscriptions = Topics(store, clock, ids), Subscriptions(store, clock, ids)
    return Service(
        "sns",
        {
            "CreateTopic": topics.create,
            "ListTopics": topics.list,
            "DeleteTopic": topics.delete,
            "GetTopicAttributes": topics.attributes,
            "SetTopicAttributes": topics.set_attribute,
            "Publish": topics.publish,
            "Subscribe": subscriptions.subscribe,
            "ConfirmSubscription": subscriptions.confirm,
            "Unsubscribe": subscriptions.unsubscribe,
            "ListSubscriptions": subscriptions.list,
            "ListSubscriptionsByTopic": subscriptions.list_by_topic,
            "GetSubscriptionAttributes": subscriptions.attributes,
            "SetSubscriptionAttributes": subscriptions.set_attribute,
            "TagResource": topics.tag,
            "UntagResource": topics.untag,
            "ListTagsForResource": topics.list_tags,
        },
        partial={
            "CreateTopic": "no FIFO topics, no encryption, no data protection",
            "SetTopicAttributes": "DisplayName, DeliveryPolicy (linear), and Policy, which is kept and not evaluated",
            "Publish": "to topics; messages are not signed",
            "Subscribe": "http and https; no filter policies, no dead-letter queues",
            "SetSubscriptionAttributes": "RawMessageDelivery, DeliveryPolicy (linear)",
            "Unsubscribe": "no UnsubscribeConfirmation is sent",
        },
    )
