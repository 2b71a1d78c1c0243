/** Who uses something: links to tasks and services. */

import Link from "@cloudscape-design/components/link";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { useHere } from "../context";

/** So many are named; of more it is said how many they are. */
const MOST = 5;

export interface User {
  kind: "task" | "service";
  cluster: string;
  id: string;
  /** Where they are not what the page shows, there is no link. */
  account?: string;
  region?: string;
}

/** `cluster/id`, as Portside writes the users of volumes. */
export function taskOf(words: string): User {
  const [cluster = "", id = ""] = words.split("/");
  return { kind: "task", cluster, id };
}

export function UsedBy({ users, other }: { users: User[]; other?: string }) {
  const { about, region, to } = useHere();
  const isHere = (each: User) => (each.account ?? about.account) === about.account && (each.region ?? region) === region;
  if (!users.length) return <>{other ?? "Nobody"}</>;
  return (
    <SpaceBetween direction="horizontal" size="xs">
      {users.slice(0, MOST).map((each) =>
        isHere(each) ? (
        <Link key={`${each.kind} ${each.cluster} ${each.id}`} href={to(["clusters", each.cluster, `${each.kind}s`, each.id])}>
          {each.kind === "task" ? each.id.slice(0, 12) : each.id}
        </Link>
        ) : (
          <span key={`${each.kind} ${each.cluster} ${each.id}`}>
            {each.kind} {each.id.slice(0, 12)} of {each.account} in {each.region}
          </span>
        ),
      )}
      {users.length > MOST && <span>and {users.length - MOST} more</span>}
    </SpaceBetween>
  );
}
