/** A VPC as a drawing: what is in it can be chosen, by mouse and by keyboard. */

import type { KeyboardEvent } from "react";
import type { VpcView } from "../api/network";
import { type Box, curve, type Drawing, drawn, sayThing, type Thing } from "../drawing";
import "./vpc-drawing.css";

/** The key of what is beyond the VPC. */
export const INTERNET = "internet";

interface Props {
  vpc: VpcView;
  picked: string | undefined;
  second: string | undefined;
  /** By key, of what may talk to what was picked: whether it is begun from there, from here, or both. */
  talks: ReadonlyMap<string, "in" | "out" | "both"> | undefined;
  opened: ReadonlySet<string>;
  onPick: (key: string) => void;
  onOpen: (subnet: string) => void;
}

export function VpcDrawing(props: Props) {
  const plan = drawn(props.vpc, props.opened);
  return (
    <div className="vpc" tabIndex={0} role="region" aria-label={`Drawing of ${props.vpc.id}`}>
      <svg width={plan.width} height={plan.height} role="group" aria-label={`What is in ${props.vpc.id}`}>
        <defs>
          <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
            <path d="M0 0 L8 4 L0 8 z" />
          </marker>
        </defs>
        {plan.routes.map((each) => (
          <path
            key={each.key}
            className="route"
            d={`M${each.to.x + each.to.width} ${each.to.y + 16} H${each.from.x + each.from.width - 24} V${each.from.y}`}
          />
        ))}
        {plan.gateways.map((each) => (
          <g key={each.id}>
            <path className="route" d={`M${each.x + 30} ${each.y} V${plan.internet.y + plan.internet.height}`} />
            <rect className="subnet" {...rounded(each)} />
            <text x={each.x + 10} y={each.y + 21} className="small">
              {each.id}
            </text>
          </g>
        ))}
        <Chip
          box={plan.internet}
          kind="none"
          label="The internet"
          words="The internet, beyond the VPC"
          {...stateOf(props, INTERNET)}
          onPick={() => props.onPick(INTERNET)}
        />
        {plan.zones.map((each) => (
          <g key={each.name}>
            <rect className="zone" {...rounded(each)} />
            <text x={each.x + 12} y={each.y + 20} className="name">
              {each.name}
            </text>
          </g>
        ))}
        {plan.subnets.map((each) => (
          <g key={each.of.id}>
            <rect className={each.way.includes("igw-") ? "subnet" : "subnet closed"} {...rounded(each)} />
            <text x={each.x + 8} y={each.y + 19} className="small name">
              {each.of.cidrBlock}
            </text>
            <text x={each.x + 8} y={each.y + 37} className="small">
              {each.way}
              {each.of.entries.length > 0 && `, ${each.of.networkAcl}`}
            </text>
            {each.of.interfaces.length === 0 && (
              <text x={each.x + 8} y={each.y + 72} className="small">
                Nothing in it
              </text>
            )}
            {each.hidden > 0 && (
              <Chip
                box={{ x: each.x + 8, y: each.y + each.height - 38, width: each.width - 16, height: 32 }}
                kind="none"
                label={`and ${each.hidden} more`}
                words={`Show ${each.hidden} more in ${each.of.cidrBlock}`}
                onPick={() => props.onOpen(each.of.id)}
              />
            )}
          </g>
        ))}
        {plan.things.map((each) => (
          <Chip
            key={each.of.key}
            box={each}
            kind={each.of.kind}
            label={each.of.label}
            note={noteOf(each.of)}
            words={said(each.of)}
            {...stateOf(props, each.of.key)}
            onPick={() => props.onPick(each.of.key)}
          />
        ))}
        <Links plan={plan} picked={props.picked} talks={props.talks} />
      </svg>
    </div>
  );
}

/** What is to be read, as it is to be heard: with the address of one that is alone. */
function said(thing: Thing): string {
  const [first] = thing.members;
  return thing.members.length > 1 || first?.holder.tasks ? sayThing(thing) : `${sayThing(thing)} ${first?.address ?? ""}`;
}

function noteOf(thing: Thing): string {
  const tasks = thing.members[0]?.holder.tasks;
  if (thing.members.length > 1) return `×${thing.members.length}`;
  return tasks ? `${tasks} tasks` : (thing.members[0]?.address ?? "");
}

function stateOf(props: Props, key: string): { state: string; isPicked: boolean } {
  if (props.picked === key) return { state: "picked", isPicked: true };
  if (props.second === key) return { state: "second", isPicked: true };
  return { state: props.talks && key !== INTERNET && !props.talks.has(key) ? "quiet" : "", isPicked: false };
}

function Links({ plan, picked, talks }: { plan: Drawing; picked: string | undefined; talks: Props["talks"] }) {
  const here = plan.things.find((each) => each.of.key === picked);
  if (!here || !talks) return null;
  return (
    <g aria-hidden="true" pointerEvents="none">
      {plan.things.flatMap((each) => {
        const talk = talks.get(each.of.key);
        if (!talk || each === here) return [];
        const out = talk !== "in" && <path key={`${each.of.key} out`} className="link" d={curve(here, each)} />;
        const into = talk !== "out" && <path key={`${each.of.key} in`} className="link" d={curve(each, here)} />;
        return [out, into];
      })}
    </g>
  );
}

interface ChipProps {
  box: Box;
  kind: Thing["kind"];
  label: string;
  note?: string;
  words: string;
  state?: string;
  isPicked?: boolean;
  onPick: () => void;
}

function Chip({ box, kind, label, note, words, state, isPicked, onPick }: ChipProps) {
  const pressed = (event: KeyboardEvent) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    onPick();
  };
  const room = Math.floor((box.width - 34 - 7.2 * (note?.length ?? 0)) / 7.4);
  return (
    <g
      role="button"
      tabIndex={0}
      aria-pressed={isPicked}
      className={`thing ${kind} ${state ?? ""}`}
      onClick={onPick}
      onKeyDown={pressed}
    >
      {/* The name of it: a label of its own would have to hold what is drawn, cut short or not, word by word. */}
      <title>{words}</title>
      <rect {...rounded(box)} />
      <rect className="bar" x={box.x} y={box.y} width={6} height={box.height} rx={3} />
      <text x={box.x + 14} y={box.y + box.height / 2 + 4.5}>
        {label.length > room ? `${label.slice(0, Math.max(1, room - 1))}…` : label}
      </text>{" "}
      {note && (
        <text x={box.x + box.width - 8} y={box.y + box.height / 2 + 4.5} textAnchor="end" className="small">
          {note}
        </text>
      )}
    </g>
  );
}

const rounded = ({ x, y, width, height }: Box) => ({ x, y, width, height, rx: 6 });

