/** Tags, by the words that each service has for them. */

import { call } from "./call";

export interface Tag {
  Key: string;
  Value: string;
}

export interface Step {
  service: string;
  operation: string;
  parameters: Record<string, unknown>;
}

/** How a service names what has tags, reads them, sets some and removes some. */
interface Way {
  list: (of: string) => { operation: string; parameters: Record<string, unknown> };
  read: (answer: never) => Tag[] | undefined;
  tag: (of: string, tags: readonly Tag[]) => { operation: string; parameters: Record<string, unknown> };
  untag: (of: string, keys: readonly string[]) => { operation: string; parameters: Record<string, unknown> };
}

interface Tags {
  Tags?: Tag[];
}

/** Those that differ in nothing but what they call the thing and its operations. */
function plain(named: (of: string) => Record<string, unknown>, list: string, tag = "TagResource", untag = "UntagResource"): Way {
  return {
    list: (of) => ({ operation: list, parameters: named(of) }),
    read: ({ Tags: found }: Tags) => found,
    tag: (of, Tags) => ({ operation: tag, parameters: { ...named(of), Tags } }),
    untag: (of, TagKeys) => ({ operation: untag, parameters: { ...named(of), TagKeys } }),
  };
}

const LIST = "ListTagsForResource";

const WAYS = {
  ecs: {
    list: (resourceArn) => ({ operation: LIST, parameters: { resourceArn } }),
    read: ({ tags }: { tags?: { key: string; value: string }[] }) => tags?.map((each) => ({ Key: each.key, Value: each.value })),
    tag: (resourceArn, tags) => ({
      operation: "TagResource",
      parameters: { resourceArn, tags: tags.map((each) => ({ key: each.Key, value: each.Value })) },
    }),
    untag: (resourceArn, tagKeys) => ({ operation: "UntagResource", parameters: { resourceArn, tagKeys } }),
  },
  logs: {
    list: (resourceArn) => ({ operation: LIST, parameters: { resourceArn } }),
    read: ({ tags }: { tags?: Record<string, string> }) => Object.entries(tags ?? {}).map(([Key, Value]) => ({ Key, Value })),
    tag: (resourceArn, tags) => ({
      operation: "TagResource",
      parameters: { resourceArn, tags: Object.fromEntries(tags.map((each) => [each.Key, each.Value])) },
    }),
    untag: (resourceArn, tagKeys) => ({ operation: "UntagResource", parameters: { resourceArn, tagKeys } }),
  },
  elbv2: {
    ...plain((of) => ({ ResourceArns: [of] }), "DescribeTags", "AddTags", "RemoveTags"),
    read: ({ TagDescriptions: found }: { TagDescriptions?: Tags[] }) => found?.[0]?.Tags,
  },
  ec2: {
    list: (of) => ({ operation: "DescribeTags", parameters: { Filters: [{ Name: "resource-id", Values: [of] }] } }),
    read: ({ Tags: found }: Tags) => found,
    tag: (of, Tags) => ({ operation: "CreateTags", parameters: { Resources: [of], Tags } }),
    untag: (of, keys) => ({ operation: "DeleteTags", parameters: { Resources: [of], Tags: keys.map((Key) => ({ Key })) } }),
  },
  ssm: {
    ...plain((of) => ({ ResourceType: "Parameter", ResourceId: of }), LIST, "AddTagsToResource", "RemoveTagsFromResource"),
    read: ({ TagList: found }: { TagList?: Tag[] }) => found,
  },
  acm: {
    ...plain((of) => ({ CertificateArn: of }), "ListTagsForCertificate", "AddTagsToCertificate"),
    // Takes tags, not keys.
    untag: (of, keys) => ({ operation: "RemoveTagsFromCertificate", parameters: { CertificateArn: of, Tags: keys.map((Key) => ({ Key })) } }),
  },
  cloudwatch: plain((of) => ({ ResourceARN: of }), LIST),
  efs: plain((of) => ({ ResourceId: of }), LIST),
  iam: plain((of) => ({ RoleName: of }), "ListRoleTags", "TagRole", "UntagRole"),
  secretsmanager: plain((of) => ({ SecretId: of }), "DescribeSecret"),
} satisfies Record<string, Way>;

export type Tagger = keyof typeof WAYS;

export async function tagsOf(region: string, service: Tagger, of: string): Promise<Tag[]> {
  const way: Way = WAYS[service];
  const { operation, parameters } = way.list(of);
  const found = way.read((await call(service, operation, region, parameters)) as never) ?? [];
  return found.map(({ Key, Value }) => ({ Key, Value })).sort((a, b) => a.Key.localeCompare(b.Key));
}

/** The calls that make the tags of now of those of before: what goes, goes first. */
export function stepsOf(service: Tagger, of: string, before: readonly Tag[], now: readonly Tag[]): Step[] {
  const way: Way = WAYS[service];
  const gone = before.map((each) => each.Key).filter((key) => !now.some((each) => each.Key === key));
  const set = now.filter((each) => !before.some((one) => one.Key === each.Key && one.Value === each.Value));
  return [
    ...(gone.length ? [{ service, ...way.untag(of, gone) }] : []),
    ...(set.length ? [{ service, ...way.tag(of, set) }] : []),
  ];
}

/** What is wrong with a row of a form; undefined if nothing is. */
export function faultOf({ Key, Value }: Tag, all: readonly Tag[]): string | undefined {
  if (Key === "") return "A key";
  if (Key.length > 128) return "A key of at most 128 characters";
  if (Value.length > 256) return "A value of at most 256 characters";
  return all.filter((each) => each.Key === Key).length > 1 ? "Each key once" : undefined;
}
