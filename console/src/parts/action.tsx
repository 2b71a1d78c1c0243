/** What a listener or a rule does with requests, as forms ask for it. */

import Button from "@cloudscape-design/components/button";
import FormField from "@cloudscape-design/components/form-field";
import Input from "@cloudscape-design/components/input";
import Select from "@cloudscape-design/components/select";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { type ReactNode, useState } from "react";
import { type Action, forwardTo, KINDS, targetGroups, type Weighted, weightedOf } from "../api/elb";
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

const GROUPS_PER_ACTION = 5;

/**
 * Args:
 *   protocol: of the listener, which says what there is to choose from.
 *   before: what was done until now: the groups that it forwards to are there to begin with.
 */
export function useAction(protocol: string, before?: Action): Chosen {
  const { region } = useHere();
  const isHttp = protocol.startsWith("HTTP");
  const groups = useLive(() => targetGroups(region), { kinds: KINDS }, [region]);
  const [kind, setKind] = useState("forward");
  const [chosen, setChosen] = useState<Weighted[]>(() => {
    const known = weightedOf(before);
    return known.length ? known : [{ arn: "", weight: "1" }];
  });
  const [status, setStatus] = useState("404");
  const [body, setBody] = useState("");
  const [toProtocol, setToProtocol] = useState("HTTPS");
  const [toPort, setToPort] = useState("443");
  const type = isHttp ? kind : "forward";
  const options = (groups.value ?? [])
    .filter((each) => (isHttp ? each.Protocol.startsWith("HTTP") : GROUPS[protocol]?.includes(each.Protocol)))
    .map((each) => ({ value: each.TargetGroupArn, label: each.TargetGroupName, description: `${each.Protocol} ${each.Port}` }));
  const setOne = (place: number, change: Partial<Weighted>) =>
    setChosen(chosen.map((each, at) => (at === place ? { ...each, ...change } : each)));
  const isWeight = (text: string) => /^\d{1,3}$/.test(text);
  const isWeighted = chosen.length > 1;
  const isChosen = chosen.every((each) => options.some((one) => one.value === each.arn) && isWeight(each.weight));
  const action: Action =
    type === "forward"
      ? forwardTo(chosen, before)
      : type === "redirect"
        ? { Type: type, RedirectConfig: { StatusCode: "HTTP_301", Protocol: toProtocol, Port: toPort } }
        : { Type: type, FixedResponseConfig: { StatusCode: status, ...(body && { ContentType: "text/plain", MessageBody: body }) } };
  const isStatus = /^[245]\d\d$/.test(status);
  const kinds = isHttp ? [FORWARD, ...OTHERS] : [FORWARD];
  return {
    action,
    isReady: type === "forward" ? isChosen : type === "redirect" ? toPort !== "" : isStatus,
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
          <SpaceBetween size="l">
            {chosen.map((each, place) => {
              const which = isWeighted ? ` ${place + 1}` : "";
              return (
                <SpaceBetween key={place} size="xs">
                  <FormField
                    label={`Target group${which}`}
                    info={
                      isWeighted && (
                        <Button
                          variant="inline-link"
                          ariaLabel={`Remove target group${which}`}
                          onClick={() => setChosen(chosen.filter((one) => one !== each))}
                        >
                          Remove
                        </Button>
                      )
                    }
                  >
                    <Select
                      selectedOption={options.find((one) => one.value === each.arn) ?? null}
                      options={options.filter((one) => one.value === each.arn || !chosen.some((other) => other.arn === one.value))}
                      onChange={({ detail }) => setOne(place, { arn: detail.selectedOption.value ?? "" })}
                      placeholder="Choose one"
                      empty="No other target group of a protocol that fits"
                    />
                  </FormField>
                  {isWeighted && (
                    <FormField label={`Weight${which}`} errorText={isWeight(each.weight) ? undefined : "0 to 999"}>
                      <Input value={each.weight} onChange={({ detail }) => setOne(place, { weight: detail.value })} inputMode="numeric" />
                    </FormField>
                  )}
                </SpaceBetween>
              );
            })}
            {chosen.length < GROUPS_PER_ACTION && (
              <Button onClick={() => setChosen([...chosen, { arn: "", weight: "1" }])}>Add a target group, by weight</Button>
            )}
          </SpaceBetween>
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
