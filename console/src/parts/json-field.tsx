/** A field for a JSON document, which says whether it is one. */

import FormField from "@cloudscape-design/components/form-field";
import Textarea from "@cloudscape-design/components/textarea";

export function jsonError(text: string): string | undefined {
  try {
    JSON.parse(text);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

export function JsonField({ label, text, onChange }: { label: string; text: string; onChange: (text: string) => void }) {
  return (
    <FormField label={label} errorText={jsonError(text)} stretch>
      <Textarea value={text} rows={12} spellcheck={false} onChange={({ detail }) => onChange(detail.value)} />
    </FormField>
  );
}
