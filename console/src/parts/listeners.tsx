/** The listeners of a load balancer with their rules in the order in which they are tried, and the forms that change them. */

import Button from "@cloudscape-design/components/button";
import FormField from "@cloudscape-design/components/form-field";
import Header from "@cloudscape-design/components/header";
import Input from "@cloudscape-design/components/input";
import Select from "@cloudscape-design/components/select";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Table from "@cloudscape-design/components/table";
import { useState } from "react";
import { actionsOf, type Balancer, certificates, type Condition, conditionsOf, type Listener, type Rule } from "../api/elb";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { isPort } from "../typed";
import { Act } from "./act";
import { useAction } from "./action";
import { ReadAndEditAttributes } from "./attributes";
import { ListenerCertificates } from "./listener-certificates";

const isSecure = (protocol: string) => protocol === "HTTPS" || protocol === "TLS";

export function Listeners({ balancer }: { balancer: Balancer }) {
  const { region } = useHere();
  const isApplication = balancer.type === "application";
  const isClassic = balancer.type === "classic";
  const hasSecure = !isClassic && balancer.listeners.some((each) => isSecure(each.protocol));
  const all = useLive(async () => (hasSecure ? certificates(region) : []), { kinds: ["certificate"] }, [region, hasSecure]);
  const [isNew, setNew] = useState(false);
  const [deleted, setDeleted] = useState<Listener>();
  const [described, setDescribed] = useState<Listener>();
  const [extended, setExtended] = useState<Listener>();
  const [removed, setRemoved] = useState<Rule>();
  const [changed, setChanged] = useState<{ listener: Listener; rule: Rule }>();
  return (
    <SpaceBetween size="l">
      <Header
        variant="h2"
        counter={`(${balancer.listeners.length})`}
        actions={isClassic ? undefined : <Button onClick={() => setNew(true)}>Create listener</Button>}
      >
        Listeners
      </Header>
      {balancer.listeners.map((listener) => (
        <Table<Rule>
          key={listener.arn}
          header={
            <Header
              variant="h3"
              description={isApplication ? "Tried in this order; the first that matches decides" : undefined}
              actions={
                isClassic ? undefined : (
                  <SpaceBetween direction="horizontal" size="xs">
                    {isApplication && <Button onClick={() => setExtended(listener)}>Add a rule</Button>}
                    {listener.protocol !== "UDP" && (
                      <Button
                        ariaLabel={`Edit attributes of ${listener.protocol} ${listener.port}`}
                        onClick={() => setDescribed(listener)}
                      >
                        Edit attributes
                      </Button>
                    )}
                    <Button ariaLabel={`Delete the listener ${listener.protocol} ${listener.port}`} onClick={() => setDeleted(listener)}>
                      Delete
                    </Button>
                  </SpaceBetween>
                )
              }
            >
              {listener.protocol} {listener.port}
            </Header>
          }
          items={listener.rules}
          trackBy={(rule) => rule.RuleArn ?? rule.Priority ?? ""}
          footer={!isClassic && isSecure(listener.protocol) ? <ListenerCertificates listener={listener} all={all.value ?? []} /> : undefined}
          wrapLines
          columnDefinitions={[
            { id: "priority", header: "Priority", cell: (rule) => rule.Priority ?? "–", width: 110 },
            { id: "if", header: "If", cell: conditionsOf, isRowHeader: true },
            { id: "then", header: "Then", cell: actionsOf },
            { id: "hits", header: "Requests", cell: (rule) => rule.hits ?? "–", width: 120 },
            {
              id: "remove",
              header: "Change",
              width: 160,
              cell: (rule) =>
                isClassic ? (
                  "–"
                ) : (
                  <SpaceBetween direction="horizontal" size="s">
                    <Button
                      variant="inline-link"
                      ariaLabel={`Change what rule ${rule.Priority} does`}
                      onClick={() => setChanged({ listener, rule })}
                    >
                      Change
                    </Button>
                    {!rule.IsDefault && (
                      <Button variant="inline-link" ariaLabel={`Delete rule ${rule.Priority}`} onClick={() => setRemoved(rule)}>
                        Delete
                      </Button>
                    )}
                  </SpaceBetween>
                ),
            },
          ]}
        />
      ))}
      {isNew && <CreateListener balancer={balancer} onClose={() => setNew(false)} />}
      {described && (
        <ReadAndEditAttributes
          owner="listener"
          arn={described.arn}
          name={`${described.protocol} ${described.port}`}
          onClose={() => setDescribed(undefined)}
        />
      )}
      {extended && <CreateRule listener={extended} onClose={() => setExtended(undefined)} />}
      {changed && <ChangeAction {...changed} onClose={() => setChanged(undefined)} />}
      {deleted && (
        <Act
          title={`Delete the listener ${deleted.protocol} ${deleted.port}?`}
          word="Delete"
          service="elbv2"
          operation="DeleteListener"
          parameters={{ ListenerArn: deleted.arn }}
          onClose={() => setDeleted(undefined)}
        >
          It goes with its rules: nothing answers on port {deleted.port} any more.
        </Act>
      )}
      {removed && (
        <Act
          title={`Delete rule ${removed.Priority}?`}
          word="Delete"
          service="elbv2"
          operation="DeleteRule"
          parameters={{ RuleArn: removed.RuleArn }}
          onClose={() => setRemoved(undefined)}
        >
          What it matched is tried with the rules behind it.
        </Act>
      )}
    </SpaceBetween>
  );
}

function CreateListener({ balancer, onClose }: { balancer: Balancer; onClose: () => void }) {
  const { region } = useHere();
  const protocols = balancer.type === "network" ? ["TCP", "TLS", "UDP", "TCP_UDP"] : ["HTTP", "HTTPS"];
  const [protocol, setProtocol] = useState(protocols[0] ?? "HTTP");
  const [port, setPort] = useState("80");
  const [certificate, setCertificate] = useState("");
  const known = useLive(() => certificates(region), { kinds: ["certificate"] }, [region]);
  const options = known.value?.map((each) => ({ value: each.CertificateArn, label: each.DomainName, description: each.CertificateArn })) ?? [];
  const chosen = useAction(protocol);
  return (
    <Act
      title={`Create a listener of ${balancer.name}`}
      word="Create"
      service="elbv2"
      operation="CreateListener"
      parameters={{
        LoadBalancerArn: balancer.arn,
        Protocol: protocol,
        Port: Number(port),
        Certificates: isSecure(protocol) ? [{ CertificateArn: certificate }] : undefined,
        DefaultActions: [chosen.action],
      }}
      isReady={isPort(port) && chosen.isReady && (!isSecure(protocol) || certificate !== "")}
      onClose={onClose}
    >
      <FormField label="Protocol">
        <Select
          selectedOption={{ value: protocol, label: protocol }}
          options={protocols.map((value) => ({ value, label: value }))}
          onChange={({ detail }) => setProtocol(detail.selectedOption.value ?? "HTTP")}
        />
      </FormField>
      <FormField label="Port" errorText={isPort(port) ? undefined : "1 to 65535"}>
        <Input value={port} onChange={({ detail }) => setPort(detail.value)} inputMode="numeric" />
      </FormField>
      {isSecure(protocol) && (
        <FormField label="Certificate">
          <Select
            selectedOption={options.find((each) => each.value === certificate) ?? null}
            options={options}
            onChange={({ detail }) => setCertificate(detail.selectedOption.value ?? "")}
            placeholder="Choose one"
            empty="No certificate in this region: aws acm request-certificate, or import-certificate"
          />
        </FormField>
      )}
      {chosen.fields}
    </Act>
  );
}

function ChangeAction({ listener, rule, onClose }: { listener: Listener; rule: Rule; onClose: () => void }) {
  const before = rule.Actions?.find((each) => each.Type === "forward");
  const chosen = useAction(listener.protocol, before);
  const operation = rule.IsDefault ? "ModifyListener" : "ModifyRule";
  const parameters = rule.IsDefault
    ? { ListenerArn: listener.arn, DefaultActions: [chosen.action] }
    : { RuleArn: rule.RuleArn, Actions: [chosen.action] };
  return (
    <Act
      title={rule.IsDefault ? `What ${listener.protocol} ${listener.port} does with anything else` : `What rule ${rule.Priority} does`}
      word="Change"
      service="elbv2"
      operation={operation}
      parameters={parameters}
      isReady={chosen.isReady}
      onClose={onClose}
    >
      <div>Now: {actionsOf(rule)}</div>
      {chosen.fields}
    </Act>
  );
}

const FIELDS = [
  { value: "path-pattern", label: "Path", description: "/api/*" },
  { value: "host-header", label: "Host", description: "*.example.com" },
  { value: "http-header", label: "Header" },
  { value: "http-request-method", label: "Method", description: "GET" },
  { value: "query-string", label: "Query", description: "key=value" },
  { value: "source-ip", label: "Address of the client", description: "10.0.0.0/8" },
];

/** A condition of a rule, from what is typed: any of the values, between commas. */
export function conditionFrom(field: string, header: string, text: string): Condition {
  const Values = text
    .split(",")
    .map((each) => each.trim())
    .filter(Boolean);
  switch (field) {
    case "host-header":
      return { Field: field, HostHeaderConfig: { Values } };
    case "http-header":
      return { Field: field, HttpHeaderConfig: { HttpHeaderName: header, Values } };
    case "http-request-method":
      return { Field: field, HttpRequestMethodConfig: { Values } };
    case "source-ip":
      return { Field: field, SourceIpConfig: { Values } };
    case "query-string":
      return {
        Field: field,
        QueryStringConfig: {
          Values: Values.map((each) => {
            const [key = "", ...rest] = each.split("=");
            return rest.length ? { Key: key, Value: rest.join("=") } : { Value: key };
          }),
        },
      };
    default:
      return { Field: "path-pattern", PathPatternConfig: { Values } };
  }
}

function CreateRule({ listener, onClose }: { listener: Listener; onClose: () => void }) {
  const taken = listener.rules.map((each) => Number(each.Priority)).filter(Number.isInteger);
  const [priority, setPriority] = useState(String(Math.max(0, ...taken) + 10));
  const [field, setField] = useState("path-pattern");
  const [header, setHeader] = useState("");
  const [values, setValues] = useState("");
  const chosen = useAction(listener.protocol);
  const isPriority = /^\d{1,5}$/.test(priority) && Number(priority) >= 1 && Number(priority) <= 50000;
  return (
    <Act
      title={`Add a rule to ${listener.protocol} ${listener.port}`}
      word="Add"
      service="elbv2"
      operation="CreateRule"
      parameters={{
        ListenerArn: listener.arn,
        Priority: Number(priority),
        Conditions: [conditionFrom(field, header, values)],
        Actions: [chosen.action],
      }}
      isReady={isPriority && values.trim() !== "" && (field !== "http-header" || header !== "") && chosen.isReady}
      onClose={onClose}
    >
      <FormField label="Priority" description="The lowest is tried first" errorText={isPriority ? undefined : "1 to 50000"}>
        <Input value={priority} onChange={({ detail }) => setPriority(detail.value)} inputMode="numeric" />
      </FormField>
      <FormField label="If">
        <Select
          selectedOption={FIELDS.find((each) => each.value === field) ?? null}
          options={FIELDS}
          onChange={({ detail }) => setField(detail.selectedOption.value ?? "path-pattern")}
        />
      </FormField>
      {field === "http-header" && (
        <FormField label="Name of the header">
          <Input value={header} onChange={({ detail }) => setHeader(detail.value)} />
        </FormField>
      )}
      <FormField label="Is one of" description="Between commas">
        <Input value={values} onChange={({ detail }) => setValues(detail.value)} />
      </FormField>
      {chosen.fields}
    </Act>
  );
}
