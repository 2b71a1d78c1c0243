/** The phases of a task's life until it runs, as bars on one scale of time: what it waited for, and how long. */

import type { Phase } from "../api/ecs";
import { duration } from "../format";
import "./phases.css";

const WORDS: Record<string, string> = {
  network: "Network",
  image: "Image",
  start: "Start",
  running: "Running",
  stopping: "Stopping",
};

/** What the bars show: the launch. How long it then ran would make all of that a hair's breadth. */
export function launchOf(phases: readonly Phase[]): Phase[] {
  return phases.filter((phase) => phase.name !== "running" && phase.name !== "stopping");
}

export function Phases({ phases }: { phases: readonly Phase[] }) {
  const launch = launchOf(phases);
  if (launch.length === 0) return <>The launch has not begun.</>;
  const start = Math.min(...launch.map((phase) => Date.parse(phase.startedAt)));
  const end = Math.max(...launch.map((phase) => Date.parse(phase.startedAt) + phase.seconds * 1000));
  const whole = Math.max(end - start, 1);
  return (
    <div className="phases" role="list" aria-label="Phases of the launch">
      {launch.map((phase) => {
        const left = ((Date.parse(phase.startedAt) - start) / whole) * 100;
        const width = Math.max((phase.seconds * 100_000) / whole, 0.5);
        return (
          <div className="phase" role="listitem" key={phase.name}>
            <span className="phase-name">{WORDS[phase.name] ?? phase.name}</span>
            <span className="phase-track" aria-hidden="true">
              <span className={`phase-bar ${phase.state.replace(" ", "-")}`} style={{ left: `${left}%`, width: `${Math.min(width, 100 - left)}%` }} />
            </span>
            <span className="phase-time">
              {duration(phase.seconds)}
              {phase.state === "done" ? "" : ` (${phase.state})`}
            </span>
          </div>
        );
      })}
    </div>
  );
}
