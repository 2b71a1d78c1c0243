/** Lines of log, the last ones and what comes then. */

import Alert from "@cloudscape-design/components/alert";
import Box from "@cloudscape-design/components/box";
import { useEffect, useRef, useState } from "react";
import { ApiError } from "../api/call";
import { concerns, onChange } from "../api/changes";
import { joined, lastLines, type LogLine, tail, type Wanted } from "../api/logs";
import { useHere } from "../context";
import { time } from "../format";
import "./act.css";

export function Output({ wanted, sinceMs, label }: { wanted: Wanted; sinceMs: number; label: string }) {
  const { about, region } = useHere();
  const [lines, setLines] = useState<LogLine[]>();
  const [error, setError] = useState<Error>();
  const box = useRef<HTMLPreElement>(null);
  const isAtEnd = useRef(true);
  const { group, pattern } = wanted;
  const streams = wanted.streams?.join("\n");
  useEffect(() => {
    const ending = new AbortController();
    setLines(undefined);
    setError(undefined);
    const some: Wanted = { group, pattern, streams: streams?.split("\n") };
    let isMissing = false;
    const failed = (failure: Error) => {
      if (ending.signal.aborted) return;
      isMissing = failure instanceof ApiError && failure.code === "ResourceNotFoundException";
      if (isMissing) setLines((now) => now ?? []);
      else setError(failure);
    };
    // The live ones first, so that no line falls between; what is in both is shown once.
    const started = () => {
      lastLines(region, some, sinceMs).then((found) => {
        if (!ending.signal.aborted) setLines((now) => joined(found, now ?? []));
      }, failed);
    };
    const begin = () => {
      isMissing = false;
      tail(region, about.account, some, ending.signal, started, (more) => setLines((now) => joined(now ?? [], more))).catch(failed);
    };
    begin();
    // A task's group is made with its first line; its stream, too, and what it then holds is told live.
    const leave = onChange((told) => {
      if (isMissing && concerns(told, ["log_group"], group)) begin();
    });
    return () => {
      ending.abort();
      leave();
    };
  }, [region, about.account, group, streams, pattern, sinceMs]);
  useEffect(() => {
    if (box.current && isAtEnd.current) box.current.scrollTop = box.current.scrollHeight;
  });
  return (
    <>
      {error && <Alert type="error">{error.message}</Alert>}
      <pre
        ref={box}
        className="output"
        tabIndex={0}
        role="log"
        aria-label={label}
        onScroll={({ currentTarget }) => {
          isAtEnd.current = currentTarget.scrollHeight - currentTarget.scrollTop - currentTarget.clientHeight < 24;
        }}
      >
        {lines?.map((line, at) => (
          <div key={`${at} ${line.timestamp}`}>
            <span className="at">{time(line.timestamp / 1000)}</span>
            {line.message}
          </div>
        ))}
        {lines?.length === 0 && <Box color="inherit">Nothing was written. New lines appear here.</Box>}
      </pre>
    </>
  );
}
