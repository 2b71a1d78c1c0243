/** Which rule a request would go by, and over what the rules before it failed: what `portside lb route` says. */

import Alert from "@cloudscape-design/components/alert";
import Button from "@cloudscape-design/components/button";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Container from "@cloudscape-design/components/container";
import Form from "@cloudscape-design/components/form";
import FormField from "@cloudscape-design/components/form-field";
import Header from "@cloudscape-design/components/header";
import Input from "@cloudscape-design/components/input";
import Select from "@cloudscape-design/components/select";
import SpaceBetween from "@cloudscape-design/components/space-between";
import StatusIndicator from "@cloudscape-design/components/status-indicator";
import Textarea from "@cloudscape-design/components/textarea";
import { type FormEvent, useState } from "react";
import { actionsOf, type Balancer, conditionOf, type Route, route } from "../api/elb";
import { quoted } from "../command";
import { Command } from "./act";
import "./reach.css";

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].map((value) => ({ value, label: value }));

/** The headers of lines `Name: value`; null for a line that is none. */
export function headersOf(text: string): [string, string][] | null {
  const lines = text.split("\n").filter((each) => each.trim());
  const found = lines.map((each): [string, string] | null => {
    const colon = each.indexOf(":");
    return colon > 0 ? [each.slice(0, colon).trim(), each.slice(colon + 1).trim()] : null;
  });
  return found.every((each) => each !== null) ? found : null;
}

export function WhichRule({ balancer }: { balancer: Balancer }) {
  const [method, setMethod] = useState("GET");
  const [url, setUrl] = useState("/");
  const [text, setText] = useState("");
  const [from, setFrom] = useState("127.0.0.1");
  const [found, setFound] = useState<Route>();
  const [error, setError] = useState<Error>();
  const headers = headersOf(text);
  const ask = async (event: FormEvent) => {
    event.preventDefault();
    if (!headers) return;
    try {
      setFound(await route(balancer.arn, method, url, headers, from));
      setError(undefined);
    } catch (failure) {
      setFound(undefined);
      setError(failure as Error);
    }
  };
  const words = ["portside lb route", balancer.name, method, quoted(url)];
  for (const [name, value] of headers ?? []) words.push(`--header ${quoted(`${name}: ${value}`)}`);
  if (from !== "127.0.0.1") words.push(`--from ${from}`);
  return (
    <Container header={<Header variant="h2">Which rule would match</Header>}>
      <form onSubmit={ask}>
        <Form
          actions={
            <Button disabled={!headers || url === ""} formAction="submit">
              Try
            </Button>
          }
        >
          <SpaceBetween size="l">
            <ColumnLayout columns={3} minColumnWidth={180}>
              <FormField label="Method">
                <Select
                  selectedOption={METHODS.find((each) => each.value === method) ?? null}
                  options={METHODS}
                  onChange={({ detail }) => setMethod(detail.selectedOption.value ?? "GET")}
                />
              </FormField>
              <FormField label="Path or URL">
                <Input value={url} onChange={({ detail }) => setUrl(detail.value)} />
              </FormField>
              <FormField label="Address of the client">
                <Input value={from} onChange={({ detail }) => setFrom(detail.value)} />
              </FormField>
            </ColumnLayout>
            <FormField label="Headers" description="One in a line, as Name: value" errorText={headers ? undefined : "A line has no colon"}>
              <Textarea value={text} rows={2} onChange={({ detail }) => setText(detail.value)} />
            </FormField>
            {error && <Alert type="error">{error.message}</Alert>}
            {found && <Answer found={found} />}
            <Command text={words.join(" ")} />
          </SpaceBetween>
        </Form>
      </form>
    </Container>
  );
}

function Answer({ found }: { found: Route }) {
  const { request, listener } = found;
  return (
    <div role="status" aria-label="Answer">
      <SpaceBetween size="s">
        <div>
          {request.method} {request.path}
          {request.query && `?${request.query}`} for {request.host}, to {listener.protocol} {listener.port}
        </div>
        <ol className="steps" aria-label="Rules that were tried">
          {found.rules.map((each) => (
            <li key={each.arn}>
              <StatusIndicator type={each.matches ? "success" : "stopped"}>
                Rule {each.priority} {each.matches ? "matches" : "does not match"}
              </StatusIndicator>
              <ul>
                {each.conditions.map((one) => (
                  <li key={conditionOf(one.condition)}>
                    {conditionOf(one.condition)}: {one.holds ? "yes" : "no"}, {one.why}
                  </li>
                ))}
              </ul>
            </li>
          ))}
          {found.rule.IsDefault && (
            <li>
              <StatusIndicator type="info">No rule matches: the listener's default action</StatusIndicator>
            </li>
          )}
        </ol>
        <strong>{found.location ? `It redirects to ${found.location}` : `Then: ${actionsOf({ Actions: [found.action] })}`}</strong>
        {found.targetGroups.map((each) => (
          <StatusIndicator key={each.arn} type={each.healthy ? "success" : "error"}>
            {each.name}: {each.healthy} of {each.targets} targets healthy
          </StatusIndicator>
        ))}
      </SpaceBetween>
    </div>
  );
}
