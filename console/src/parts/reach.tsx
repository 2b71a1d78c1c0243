/** Whether a packet passes from one chosen thing to another, step by step: what `portside reach` says. */

import Alert from "@cloudscape-design/components/alert";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Button from "@cloudscape-design/components/button";
import Container from "@cloudscape-design/components/container";
import FormField from "@cloudscape-design/components/form-field";
import Header from "@cloudscape-design/components/header";
import Input from "@cloudscape-design/components/input";
import Select from "@cloudscape-design/components/select";
import SpaceBetween from "@cloudscape-design/components/space-between";
import StatusIndicator from "@cloudscape-design/components/status-indicator";
import { useState } from "react";
import { useLive } from "../api/live";
import { PACKET_KINDS, verdict } from "../api/network";
import { useHere } from "../context";
import { sayThing, type Thing } from "../drawing";
import { isPort } from "../typed";
import { Command } from "./act";
import "./reach.css";
import { INTERNET } from "./vpc-drawing";

interface End {
  /** An interface, or the internet. */
  end: string;
  thing: Thing | undefined;
}

interface Props {
  from: End;
  to: End;
  /** What security groups let pass, in words: a port to begin with is taken from it. */
  spans: string;
  onChange: (from: string, to: string) => void;
}

const PROTOCOLS = ["tcp", "udp", "icmp"].map((value) => ({ value, label: value.toUpperCase() }));

export function Reach({ from, to, spans, onChange }: Props) {
  const { region } = useHere();
  const [protocol, setProtocol] = useState("tcp");
  const [typed, setTyped] = useState<string>();
  // One of the blocks that are for documents: nobody has it, and every rule about the whole internet means it.
  const [address, setAddress] = useState("203.0.113.1");
  const port = typed ?? /tcp (\d+)/.exec(spans)?.[1] ?? "80";
  const isAddress = /^(\d{1,3}\.){3}\d{1,3}$/.test(address);
  const nameOf = (end: string) => (end === INTERNET ? address : end);
  const isReady = (protocol === "icmp" || isPort(port)) && (isAddress || (from.end !== INTERNET && to.end !== INTERNET));
  const live = useLive(
    async () => (isReady ? verdict(nameOf(from.end), nameOf(to.end), protocol, port) : null),
    { kinds: PACKET_KINDS },
    [region, from.end, to.end, protocol, port, address],
  );
  const found = live.value;
  const words = ["portside reach", nameOf(from.end), nameOf(to.end), protocol === "icmp" ? "" : port];
  if (protocol !== "tcp") words.push(`--protocol ${protocol}`);
  return (
    <Container
      header={
        <Header
          variant="h2"
          actions={
            <SpaceBetween direction="horizontal" size="xs">
              <Button onClick={() => onChange(to.end, from.end)}>Turn around</Button>
              <Button onClick={() => onChange("", "")}>Choose anew</Button>
            </SpaceBetween>
          }
        >
          Whether a packet passes
        </Header>
      }
    >
      <SpaceBetween size="l">
        <ColumnLayout columns={4} minColumnWidth={160}>
          <EndField label="From" of={from} address={address} setAddress={setAddress} onChange={(end) => onChange(end, to.end)} />
          <EndField label="To" of={to} address={address} setAddress={setAddress} onChange={(end) => onChange(from.end, end)} />
          <FormField label="Protocol">
            <Select
              selectedOption={PROTOCOLS.find((each) => each.value === protocol) ?? null}
              options={PROTOCOLS}
              onChange={({ detail }) => setProtocol(detail.selectedOption.value ?? "tcp")}
            />
          </FormField>
          {protocol !== "icmp" && (
            <FormField label="Port" errorText={isPort(port) ? undefined : "1 to 65535"}>
              <Input value={port} onChange={({ detail }) => setTyped(detail.value)} inputMode="numeric" />
            </FormField>
          )}
        </ColumnLayout>
        {live.error && <Alert type="error">{live.error.message}</Alert>}
        {found && (
          <div role="status" aria-label="Verdict">
            <SpaceBetween size="s">
              <StatusIndicator type={found.passes ? "success" : "error"}>
                {found.passes ? "It passes" : "It does not pass"}
              </StatusIndicator>
              <ol className="steps" aria-label="Step by step">
                {found.why.map((step, at) => {
                  const stops = !found.passes && at === found.why.length - 1;
                  return (
                    <li key={step}>
                      <StatusIndicator type={stops ? "error" : "success"} iconAriaLabel={stops ? "Stopped" : "Passed"}>
                        {step}
                      </StatusIndicator>
                    </li>
                  );
                })}
              </ol>
            </SpaceBetween>
          </div>
        )}
        <Command text={words.filter(Boolean).join(" ")} />
      </SpaceBetween>
    </Container>
  );
}

function EndField(props: {
  label: string;
  of: End;
  address: string;
  setAddress: (address: string) => void;
  onChange: (end: string) => void;
}) {
  const { label, of, address, setAddress, onChange } = props;
  if (of.end === INTERNET) {
    return (
      <FormField label={label} description="An address of the internet">
        <Input value={address} onChange={({ detail }) => setAddress(detail.value)} />
      </FormField>
    );
  }
  const members = of.thing?.members ?? [];
  const options = members.map((each) => ({ value: each.id, label: each.address, description: each.id }));
  return (
    <FormField label={label} description={of.thing ? sayThing(of.thing) : "It is gone"}>
      <Select
        selectedOption={options.find((each) => each.value === of.end) ?? { value: of.end, label: of.end }}
        options={options}
        onChange={({ detail }) => onChange(detail.selectedOption.value ?? "")}
      />
    </FormField>
  );
}
