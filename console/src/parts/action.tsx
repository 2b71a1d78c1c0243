/** What a listener or a rule does with requests, as forms ask for it. */

import FormField from "@cloudscape-design/components/form-field";
import Input from "@cloudscape-design/components/input";
import Select from "@cloudscape-design/components/select";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { type ReactNode, useState } from "react";
import { type Action, KINDS, targetGroups } from "../api/elb";
import { useLive } from "../api/live";
import { useHere } from "../context";

interface Chosen {
  action: Action;
  isReady: boolean;
  fields: ReactNode;
}

const FORWARD = { value: "forward", label: "Forward to a target group" };
const OTHERS = [
  { value: "fixed-response", label: "Answer" },
  { value: "redirect", label: "Redirect" },
];
const GROUPS: Record<string, readonly string[]> = {
  TCP: ["TCP", "TCP_UDP"],
  TLS: ["TCP"],
  UDP: ["UDP", "TCP_UDP"],
  TCP_UDP: ["TCP_UDP"],
};

/** Args: protocol: of the listener, which says what there is to choose from. */
export function useAction(protocol: string): Chosen {
  const { region } = useHere();
  const isHttp = protocol.startsWith("HTTP");
  const groups = useLive(() => targetGroups(region), { kinds: KINDS }, [region]);
  const [kind, setKind] = useState("forward");
  const [group, setGroup] = useState("");
  const [status, setStatus] = useState("404");
  const [body, setBody] = useState("");
  const [toProtocol, setToProtocol] = useState("HTTPS");
  const [toPort, setToPort] = useState("443");
  const type = isHttp ? kind : "forward";
  const options = (groups.value ?? [])
    .filter((each) => (isHttp ? each.Protocol.startsWith("HTTP") : GROUPS[protocol]?.includes(each.Protocol)))
    .map((each) => ({ value: each.TargetGroupArn, label: each.TargetGroupName, description: `${each.Protocol} ${each.Port}` }));
  const chosen = options.find((each) => each.value === group);
  const action: Action =
    type === "forward"
      ? { Type: type, TargetGroupArn: chosen?.value }
      : type === "redirect"
        ? { Type: type, RedirectConfig: { StatusCode: "HTTP_301", Protocol: toProtocol, Port: toPort } }
        : { Type: type, FixedResponseConfig: { StatusCode: status, ...(body && { ContentType: "text/plain", MessageBody: body }) } };
  const isStatus = /^[245]\d\d$/.test(status);
  const kinds = isHttp ? [FORWARD, ...OTHERS] : [FORWARD];
  return {
    action,
    isReady: type === "forward" ? chosen !== undefined : type === "redirect" ? toPort !== "" : isStatus,
    fields: (
      <SpaceBetween size="l">
        <FormField label="Then">
          <Select
            selectedOption={kinds.find((each) => each.value === type) ?? null}
            options={kinds}
            onChange={({ detail }) => setKind(detail.selectedOption.value ?? "forward")}
          />
        </FormField>
        {type === "forward" && (
          <FormField label="Target group">
            <Select
              selectedOption={chosen ?? null}
              options={options}
              onChange={({ detail }) => setGroup(detail.selectedOption.value ?? "")}
              placeholder="Choose one"
              empty="No target group of a protocol that fits"
            />
          </FormField>
        )}
        {type === "fixed-response" && (
          <>
            <FormField label="Status" errorText={isStatus ? undefined : "2xx, 4xx or 5xx"}>
              <Input value={status} onChange={({ detail }) => setStatus(detail.value)} inputMode="numeric" />
            </FormField>
            <FormField label="Text">
              <Input value={body} onChange={({ detail }) => setBody(detail.value)} />
            </FormField>
          </>
        )}
        {type === "redirect" && (
          <>
            <FormField label="To protocol">
              <Select
                selectedOption={{ value: toProtocol, label: toProtocol }}
                options={["HTTPS", "HTTP"].map((value) => ({ value, label: value }))}
                onChange={({ detail }) => setToProtocol(detail.selectedOption.value ?? "HTTPS")}
              />
            </FormField>
            <FormField label="To port">
              <Input value={toPort} onChange={({ detail }) => setToPort(detail.value)} inputMode="numeric" />
            </FormField>
          </>
        )}
      </SpaceBetween>
    ),
  };
}
