/** Tasks that stay true: all are read once, and then only those that Portside says are different. */

import { useEffect, useState } from "react";
import { onChange, type Told } from "./changes";
import { clusters, describedTasks, someTasks, type Task, tasks } from "./ecs";
import type { Live } from "./live";
import { Pace } from "./pace";

/** As many as one page of an answer has. */
const MANY = 100;

export interface Which {
  /** Without one: those of all clusters. */
  cluster?: string;
  service?: string;
}

/** What has to be read again: everything, some tasks (`CLUSTER/ID`), or nothing. */
export function differing(told: Told | null, which: Which): "all" | string[] {
  if (told === null) return "all";
  if (!which.cluster && told.cluster !== undefined) return "all";
  const keys = told.task;
  if (keys === undefined) return [];
  if (keys === null) return "all";
  return keys.filter((key) => !which.cluster || key.startsWith(`${which.cluster}/`));
}

export function useTasks(region: string, which: Which): Live<Task[]> {
  const { cluster, service } = which;
  const [state, setState] = useState<Live<Task[]>>({ value: undefined, error: undefined });
  useEffect(() => {
    let isOver = false;
    let isAll = true;
    const wanted = new Set<string>();
    const found = new Map<string, Task>();
    setState({ value: undefined, error: undefined });
    const filter = service ? { serviceName: service } : {};
    const everything = async () => {
      const named = cluster ? [cluster] : (await clusters(region)).map((each) => each.clusterName);
      // Of very many, something is to be seen before all were read.
      if (found.size === 0) {
        const first = (await Promise.all(named.slice(0, 4).map((each) => someTasks(region, each, filter)))).flat();
        if (!isOver && first.length >= MANY) setState({ value: youngest(first), error: undefined, isPart: true });
      }
      const all = (await Promise.all(named.map((each) => tasks(region, each, filter)))).flat();
      found.clear();
      for (const task of all) found.set(keyOf(task), task);
    };
    const some = async (keys: string[]) => {
      for (const [of, ids] of byCluster(keys)) {
        const now = new Map((await describedTasks(region, of, ids)).map((task) => [keyOf(task), task]));
        for (const id of ids) {
          const task = now.get(`${of}/${id}`);
          if (task && (!service || task.group === `service:${service}`)) found.set(`${of}/${id}`, task);
          else found.delete(`${of}/${id}`);
        }
      }
    };
    const pace = new Pace(async () => {
      const [all, keys] = [isAll, [...wanted]];
      isAll = false;
      wanted.clear();
      try {
        await (all ? everything() : some(keys));
        if (!isOver) setState({ value: youngest([...found.values()]), error: undefined });
      } catch (error) {
        isAll = true; // nobody knows what was missed
        if (!isOver) setState((before) => ({ value: before.value, error: error as Error }));
      }
    });
    pace.ask();
    const leave = onChange((told) => {
      const keys = differing(told, which);
      if (keys === "all") isAll = true;
      else for (const key of keys) wanted.add(key);
      if (keys.length) pace.ask();
    });
    return () => {
      isOver = true;
      pace.end();
      leave();
    };
  }, [region, cluster, service]);
  return state;
}

function youngest(all: Task[]): Task[] {
  return all.sort((a, b) => (b.createdAt ?? 0) - (a.createdAt ?? 0));
}

function keyOf(task: Task): string {
  return task.taskArn.split("/").slice(-2).join("/");
}

export function byCluster(keys: string[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const key of keys) {
    const [cluster = "", id = ""] = key.split("/");
    found.set(cluster, [...(found.get(cluster) ?? []), id]);
  }
  return found;
}
