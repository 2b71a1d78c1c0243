/** An alarm, made or changed: of a metric, or of other alarms. */

import Autosuggest from "@cloudscape-design/components/autosuggest";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import FormField from "@cloudscape-design/components/form-field";
import Input from "@cloudscape-design/components/input";
import Multiselect from "@cloudscape-design/components/multiselect";
import SegmentedControl from "@cloudscape-design/components/segmented-control";
import Select from "@cloudscape-design/components/select";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Textarea from "@cloudscape-design/components/textarea";
import { useMemo, useState } from "react";
import {
  type Actions,
  actionsOf,
  type Alarm,
  COMPARISONS,
  conditionOf,
  type Draft,
  filledActions,
  linesOf,
  parametersOf,
  topics,
} from "../api/alarms";
import { useLive } from "../api/live";
import { keyOf, type Line, metrics, PERIODS, STATISTICS, wordsOf } from "../api/metrics";
import { useHere } from "../context";
import { Act } from "./act";

const MISSING: readonly [string, string][] = [
  ["missing", "As missing"],
  ["ignore", "As nothing: the state stays"],
  ["breaching", "As bad (breaching)"],
  ["notBreaching", "As good (not breaching)"],
];

/** Args: before: of one that is changed; line: the metric that a new one begins with. */
export function AlarmForm({ before, line, onClose }: { before?: Alarm; line?: Line; onClose: () => void }) {
  const [kind, setKind] = useState(before?.AlarmRule ? "composite" : "metric");
  const [rule, setRule] = useState(before?.AlarmRule ?? "");
  const [draft, setDraft] = useState<Draft>(() => ({
    name: before?.AlarmName ?? "",
    description: before?.AlarmDescription ?? "",
    line: before ? linesOf(before)[0] : line && { ...line, period: line.period || 60 },
    comparison: before?.ComparisonOperator ?? "GreaterThanThreshold",
    threshold: before?.Threshold === undefined ? "" : String(before.Threshold),
    periods: String(before?.EvaluationPeriods ?? 1),
    datapoints: before?.DatapointsToAlarm ? String(before.DatapointsToAlarm) : "",
    missing: before?.TreatMissingData ?? "missing",
    actions: actionsOf(before),
  }));
  const change = (how: Partial<Draft>) => setDraft((now) => ({ ...now, ...how }));
  const isMath = (before?.Metrics?.length ?? 0) > 0;
  const isComposite = kind === "composite";
  const whole = (text: string) => /^[1-9]\d{0,4}$/.test(text);
  const isNumber = draft.threshold.trim() !== "" && Number.isFinite(Number(draft.threshold));
  const isReady = isComposite
    ? draft.name !== "" && rule.trim() !== ""
    : draft.name !== "" && (isMath || draft.line?.metric !== undefined) && isNumber && whole(draft.periods) && (draft.datapoints === "" || whole(draft.datapoints));
  const parameters = isComposite
    ? {
        AlarmName: draft.name,
        AlarmDescription: draft.description || undefined,
        AlarmRule: rule.trim(),
        ActionsEnabled: before && !before.ActionsEnabled ? false : undefined,
        ...filledActions(draft.actions),
      }
    : parametersOf(draft, before);
  return (
    <Act
      title={before ? `Change ${before.AlarmName}` : "Create an alarm"}
      word={before ? "Save" : "Create"}
      service="cloudwatch"
      operation={isComposite ? "PutCompositeAlarm" : "PutMetricAlarm"}
      parameters={parameters}
      isReady={isReady}
      size="large"
      onClose={onClose}
    >
      {!before && (
        <SegmentedControl
          label="What it watches"
          selectedId={kind}
          options={[
            { id: "metric", text: "A metric" },
            { id: "composite", text: "Other alarms" },
          ]}
          onChange={({ detail }) => setKind(detail.selectedId)}
        />
      )}
      {!before && (
        <FormField label="Name">
          <Input value={draft.name} onChange={({ detail }) => change({ name: detail.value })} />
        </FormField>
      )}
      {isComposite ? (
        <FormField label="Rule" description="ALARM(one) AND NOT (OK(two) OR INSUFFICIENT_DATA(three))">
          <Textarea value={rule} onChange={({ detail }) => setRule(detail.value)} rows={3} spellcheck={false} />
        </FormField>
      ) : isMath ? (
        <FormField label="Metric math" description="It stays as it is">
          <Textarea value={before ? conditionOf(before) : ""} readOnly rows={2} />
        </FormField>
      ) : (
        <Watched line={draft.line} onChange={(each) => change({ line: each })} />
      )}
      {!isComposite && (
        <SpaceBetween size="l">
          <ColumnLayout columns={2}>
            <FormField label="In alarm while it is">
              <Select
                selectedOption={optionOf(COMPARISONS, draft.comparison)}
                options={COMPARISONS.map(([value, label]) => ({ value, label, description: value }))}
                onChange={({ detail }) => change({ comparison: detail.selectedOption.value ?? "" })}
                expandToViewport
              />
            </FormField>
            <FormField label="Threshold" errorText={draft.threshold && !isNumber ? "A number" : undefined}>
              <Input value={draft.threshold} inputMode="decimal" onChange={({ detail }) => change({ threshold: detail.value })} />
            </FormField>
            <FormField label="Datapoints that must be so" description="None: all of them" errorText={draft.datapoints && !whole(draft.datapoints) ? "A whole number" : undefined}>
              <Input value={draft.datapoints} inputMode="numeric" onChange={({ detail }) => change({ datapoints: detail.value })} />
            </FormField>
            <FormField label="Of so many periods" description="The latest ones" errorText={whole(draft.periods) ? undefined : "A whole number"}>
              <Input value={draft.periods} inputMode="numeric" onChange={({ detail }) => change({ periods: detail.value })} />
            </FormField>
          </ColumnLayout>
          <FormField label="Missing data are taken">
            <Select
              selectedOption={optionOf(MISSING, draft.missing)}
              options={MISSING.map(([value, label]) => ({ value, label }))}
              onChange={({ detail }) => change({ missing: detail.selectedOption.value ?? "missing" })}
              expandToViewport
            />
          </FormField>
        </SpaceBetween>
      )}
      <Told actions={draft.actions} onChange={(actions) => change({ actions })} />
      <FormField label="Description" description="What to do then: the page of problems shows it">
        <Input value={draft.description} onChange={({ detail }) => change({ description: detail.value })} />
      </FormField>
    </Act>
  );
}

function optionOf(all: readonly [string, string][], wanted: string) {
  const found = all.find(([value]) => value === wanted);
  return { value: wanted, label: found?.[1] ?? wanted };
}

const WHEN: readonly [keyof Actions, string][] = [
  ["AlarmActions", "When in alarm, tell"],
  ["OKActions", "When OK again, tell"],
];

/** By an ARN: its name, with the service that it is of. */
function actionOption(value: string) {
  const parts = value.split(":");
  return { value, label: parts.slice(5).join(":"), description: parts[2] };
}

/** Topics of SNS, and whatever else the alarm did before. */
function Told({ actions, onChange }: { actions: Actions; onChange: (actions: Actions) => void }) {
  const { region } = useHere();
  const known = useLive(() => topics(region), { kinds: ["topic"] }, [region]);
  return (
    <ColumnLayout columns={2}>
      {WHEN.map(([name, label]) => (
        <FormField key={name} label={label} description="Topics of SNS">
          <Multiselect
            selectedOptions={actions[name].map(actionOption)}
            options={[...new Set([...(known.value ?? []), ...actions[name]])].map(actionOption)}
            onChange={({ detail }) => onChange({ ...actions, [name]: detail.selectedOptions.map((each) => each.value ?? "") })}
            placeholder="Nobody"
            statusType={known.value ? "finished" : known.error ? "error" : "loading"}
            loadingText="Reading the topics"
            errorText={known.error?.message}
            empty="No topic in this region"
            deselectAriaLabel={(each) => `Without ${each.label}`}
            expandToViewport
          />
        </FormField>
      ))}
    </ColumnLayout>
  );
}

/** A metric, found by its words. */
function Watched({ line, onChange }: { line: Line | undefined; onChange: (line: Line | undefined) => void }) {
  const { region } = useHere();
  const all = useLive(() => metrics(region), { kinds: [] }, [region]);
  const [typed, setTyped] = useState(line ? wordsOf(line) : "");
  // There may be very many, and the form is made anew with each letter.
  const options = useMemo(
    () =>
      (all.value ?? []).map((metric) => ({
        value: keyOf(metric),
        label: wordsOf({ ...BLANK, metric }),
        description: metric.namespace,
        tags: Object.entries(metric.dimensions).map(([name, value]) => `${name}=${value}`),
      })),
    [all.value],
  );
  const change = (how: Partial<Line>) => line && onChange({ ...line, ...how });
  return (
    <SpaceBetween size="l">
      <FormField label="Metric" errorText={typed && !line ? "Choose one of the list" : undefined}>
        <Autosuggest
          value={typed}
          placeholder="CPUUtilization"
          ariaLabel="Metric"
          enteredTextLabel={(text) => `No metric: ${text}`}
          empty="No metric in the last two weeks"
          statusType={all.value ? "finished" : all.error ? "error" : "loading"}
          loadingText="Reading the metrics"
          errorText={all.error?.message}
          options={options}
          onChange={({ detail }) => {
            setTyped(detail.value);
            onChange(undefined);
          }}
          onSelect={({ detail }) => {
            const metric = all.value?.find((each) => keyOf(each) === detail.value);
            if (!metric) return;
            setTyped(wordsOf({ ...BLANK, metric }));
            onChange({ ...BLANK, ...line, metric });
          }}
          expandToViewport
        />
      </FormField>
      <ColumnLayout columns={2}>
        <FormField label="Statistic">
          <Select
            disabled={!line}
            selectedOption={line ? { value: line.stat, label: line.stat } : null}
            options={STATISTICS.map((value) => ({ value, label: value }))}
            onChange={({ detail }) => change({ stat: detail.selectedOption.value ?? "Average" })}
            expandToViewport
          />
        </FormField>
        <FormField label="Period">
          <Select
            disabled={!line}
            selectedOption={line ? { value: String(line.period), label: PERIODS.find(([each]) => each === line.period)?.[1] ?? `${line.period} s` } : null}
            options={PERIODS.filter(([each]) => each >= 10).map(([value, label]) => ({ value: String(value), label }))}
            onChange={({ detail }) => change({ period: Number(detail.selectedOption.value ?? 60) })}
            expandToViewport
          />
        </FormField>
      </ColumnLayout>
    </SpaceBetween>
  );
}

const BLANK: Line = { id: "m1", stat: "Average", period: 60, label: "", isShown: true };
