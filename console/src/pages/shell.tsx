/** A shell in a container, for as long as the page is open. */

import Alert from "@cloudscape-design/components/alert";
import Button from "@cloudscape-design/components/button";
import Header from "@cloudscape-design/components/header";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { lazy, Suspense, useCallback, useState } from "react";
import { useHere } from "../context";

// The terminal is a third of the whole console: it comes when it is wanted.
const Terminal = lazy(() => import("../parts/terminal"));

export function ShellPage({ cluster, task, container }: { cluster: string; task: string; container: string }) {
  const { region } = useHere();
  const [turn, setTurn] = useState(0);
  const [said, setSaid] = useState("");
  const onEnd = useCallback((words: string) => setSaid((before) => before || words), []);
  return (
    <SpaceBetween size="m">
      <Header
        variant="h1"
        description={`Container ${container} of the task ${task}`}
        actions={
          <Button
            onClick={() => {
              setSaid("");
              setTurn(turn + 1);
            }}
          >
            Again
          </Button>
        }
      >
        Shell
      </Header>
      {said && <Alert type="info">{said}</Alert>}
      <Suspense fallback="The terminal is being loaded">
        <Terminal key={turn} region={region} cluster={cluster} task={task} container={container} command="/bin/sh" onEnd={onEnd} />
      </Suspense>
    </SpaceBetween>
  );
}
