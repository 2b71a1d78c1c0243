/** Account settings: for everybody, for the account's root, for one role. */

import Button from "@cloudscape-design/components/button";
import Container from "@cloudscape-design/components/container";
import FormField from "@cloudscape-design/components/form-field";
import Header from "@cloudscape-design/components/header";
import Input from "@cloudscape-design/components/input";
import Select from "@cloudscape-design/components/select";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Tiles from "@cloudscape-design/components/tiles";
import { useState } from "react";
import { every } from "../api/call";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { Act } from "../parts/act";
import { List } from "../parts/list";

interface Setting {
  name: string;
  value: string;
  principalArn?: string;
}

const VALUES: Record<string, string[]> = {
  containerInsights: ["enabled", "enhanced", "disabled"],
};
const INSIGHTS = [
  { value: "enhanced", label: "Enhanced", description: "Metrics of clusters, services, tasks and containers" },
  { value: "enabled", label: "On", description: "Metrics of clusters and services" },
  { value: "disabled", label: "Off", description: "Only the metrics that services have anyway" },
];

export function Settings() {
  const { region } = useHere();
  const live = useLive(
    () => every<Setting>("ecs", "ListAccountSettings", region, { effectiveSettings: true }, "settings"),
    { kinds: ["account_setting"] },
    [region],
  );
  const [changed, setChanged] = useState<Setting>();
  const insights = live.value?.find((each) => each.name === "containerInsights")?.value;
  return (
    <SpaceBetween size="l">
      <Header variant="h1" description="What new clusters, services and tasks are made with">
        Account settings
      </Header>
      <Container
        header={
          <Header
            variant="h2"
            description="For clusters that are made from now on"
            actions={<Button onClick={() => setChanged({ name: "containerInsights", value: insights ?? "disabled" })}>Change</Button>}
          >
            Container Insights
          </Header>
        }
      >
        {INSIGHTS.find((each) => each.value === insights)?.label ?? insights ?? "–"}
      </Container>
      <List<Setting>
        title="In force"
        noun="setting"
        live={live}
        keyOf={(setting) => setting.name}
        columns={[
          { id: "name", header: "Setting", cell: (setting) => setting.name, isRowHeader: true, sortingField: "name" },
          { id: "value", header: "Value", cell: (setting) => setting.value, sortingField: "value" },
          {
            id: "change",
            header: "Change",
            cell: (setting) => (
              <Button variant="inline-link" ariaLabel={`Change ${setting.name}`} onClick={() => setChanged(setting)}>
                Change
              </Button>
            ),
          },
        ]}
      />
      {changed && <Change setting={changed} onClose={() => setChanged(undefined)} />}
    </SpaceBetween>
  );
}

const WHOM = [
  { value: "all", label: "Everybody", description: "Who has no setting of their own" },
  { value: "root", label: "The root of the account" },
  { value: "role", label: "One role" },
];

function Change({ setting, onClose }: { setting: Setting; onClose: () => void }) {
  const { about } = useHere();
  const [value, setValue] = useState(setting.value);
  const [whom, setWhom] = useState("all");
  const [role, setRole] = useState("");
  const principalArn = whom === "root" ? `arn:aws:iam::${about.account}:root` : whom === "role" ? role : undefined;
  return (
    <Act
      title={`Change ${setting.name}`}
      word="Save"
      operation={whom === "all" ? "PutAccountSettingDefault" : "PutAccountSetting"}
      parameters={{ name: setting.name, value, principalArn }}
      isReady={value !== "" && (whom !== "role" || role !== "")}
      onClose={onClose}
    >
      {setting.name === "containerInsights" ? (
        <Tiles value={value} items={INSIGHTS} onChange={({ detail }) => setValue(detail.value)} ariaLabel="Value" columns={1} />
      ) : (
        <FormField label="Value">
          {VALUES[setting.name] || ["enabled", "disabled"].includes(setting.value) ? (
            <Select
              selectedOption={{ value, label: value }}
              options={(VALUES[setting.name] ?? ["enabled", "disabled"]).map((each) => ({ value: each, label: each }))}
              onChange={({ detail }) => setValue(detail.selectedOption.value ?? "")}
            />
          ) : (
            <Input value={value} onChange={({ detail }) => setValue(detail.value)} />
          )}
        </FormField>
      )}
      <FormField label="For whom">
        <Select
          selectedOption={WHOM.find((each) => each.value === whom) ?? null}
          options={WHOM}
          onChange={({ detail }) => setWhom(detail.selectedOption.value ?? "all")}
        />
      </FormField>
      {whom === "role" && (
        <FormField label="Role" description="Its ARN">
          <Input value={role} onChange={({ detail }) => setRole(detail.value)} placeholder={`arn:aws:iam::${about.account}:role/NAME`} />
        </FormField>
      )}
    </Act>
  );
}
