/** A form that saves which of several things something has: at least one, and others than now. */

import FormField from "@cloudscape-design/components/form-field";
import Multiselect from "@cloudscape-design/components/multiselect";
import { useState } from "react";
import type { Live } from "../api/live";
import type { Members } from "../model";
import { Act } from "./act";

interface Props {
  title: string;
  service: string;
  operation: string;
  parameters: (chosen: readonly string[]) => Members;
  label: string;
  description: string;
  now: readonly string[];
  known: Live<{ value: string; label?: string; description?: string }[]>;
  onClose: () => void;
}

export function EditChoice({ title, service, operation, parameters, label, description, now, known, onClose }: Props) {
  const [chosen, setChosen] = useState(now);
  const [error, setError] = useState<Error>();
  const options = known.value ?? [];
  const isSame = chosen.length === now.length && chosen.every((each) => now.includes(each));
  return (
    <Act
      title={title}
      word="Save"
      service={service}
      operation={operation}
      parameters={parameters(chosen)}
      isReady={!isSame && chosen.length > 0}
      onError={setError}
      onClose={onClose}
    >
      <FormField label={label} description={description} errorText={error?.message ?? known.error?.message}>
        <Multiselect
          selectedOptions={options.filter((each) => chosen.includes(each.value))}
          options={options}
          onChange={({ detail }) => {
            setChosen(detail.selectedOptions.map((each) => each.value ?? ""));
            setError(undefined);
          }}
          placeholder="Choose some"
        />
      </FormField>
    </Act>
  );
}
