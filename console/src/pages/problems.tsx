/** Everything that is wrong now, why, and what to do about it. */

import Alert from "@cloudscape-design/components/alert";
import Box from "@cloudscape-design/components/box";
import Link from "@cloudscape-design/components/link";
import SpaceBetween from "@cloudscape-design/components/space-between";
import StatusIndicator from "@cloudscape-design/components/status-indicator";
import { CONCERNED, pathOf, type Problem, problems } from "../api/problems";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { counted, secondsOf, time } from "../format";
import { List } from "../parts/list";
import { hrefOf } from "../route";

export function Problems() {
  const { about, region } = useHere();
  const live = useLive(problems, { kinds: CONCERNED, everyMs: 60_000 }, [region]);
  const mine = live.value?.filter((each) => each.account === "" || each.account === about.account);
  const isHere = (each: Problem) => each.region === "" || each.region === region;
  const elsewhere = [...new Set((mine ?? []).filter((each) => !isHere(each)).map((each) => each.region))];
  return (
    <SpaceBetween size="l">
      {elsewhere.map((each) => (
        <Alert key={each} type="info" action={<Link href={hrefOf(["problems"], each)}>See them</Link>}>
          {counted((mine ?? []).filter((one) => one.region === each).length, "problem")} in {each}
        </Alert>
      ))}
      <List<Problem>
        title="Problems"
        noun="problem"
        description="What is wrong now in this region and with the machine. What is mended goes by itself."
        live={{ value: mine?.filter(isHere), error: live.error }}
        keyOf={(each) => `${each.kind} ${each.region} ${each.cluster} ${each.name} ${each.what}`}
        empty={<StatusIndicator type="success">Nothing is wrong</StatusIndicator>}
        wrapLines
        columns={[
          {
            id: "severity",
            header: "Severity",
            width: 120,
            sortingField: "severity",
            cell: (each) => (
              <StatusIndicator type={each.severity}>{each.severity === "error" ? "Error" : "Warning"}</StatusIndicator>
            ),
          },
          { id: "what", header: "What", isRowHeader: true, sortingField: "what", minWidth: 200, cell: (each) => <What of={each} /> },
          { id: "why", header: "Why", cell: (each) => each.why || "–", minWidth: 240 },
          { id: "mend", header: "What to do", cell: (each) => each.mend, minWidth: 240 },
          {
            id: "since",
            header: "Since",
            width: 190,
            sortingField: "since",
            cell: (each) => time(secondsOf(each.since)),
          },
        ]}
      />
      <Box color="text-body-secondary">
        The same at the terminal: <Box variant="code">portside problems</Box>. The machine as a whole:{" "}
        <Box variant="code">portside doctor</Box>.
      </Box>
    </SpaceBetween>
  );
}

function What({ of }: { of: Problem }) {
  const { to } = useHere();
  const path = pathOf(of);
  return path ? <Link href={to(path)}>{of.what}</Link> : <>{of.what}</>;
}
