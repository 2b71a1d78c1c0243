/** A secret value: read when somebody asks for it, hidden again by a click, and kept nowhere. */

import Alert from "@cloudscape-design/components/alert";
import Button from "@cloudscape-design/components/button";
import Container from "@cloudscape-design/components/container";
import CopyToClipboard from "@cloudscape-design/components/copy-to-clipboard";
import Header from "@cloudscape-design/components/header";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { useState } from "react";

export function ShownValue({ load, actions }: { load: () => Promise<string>; actions?: React.ReactNode }) {
  const [value, setValue] = useState<string>();
  const [error, setError] = useState<Error>();
  const show = () => {
    setError(undefined);
    load().then(setValue, setError);
  };
  return (
    <Container
      header={
        <Header
          variant="h2"
          actions={
            <SpaceBetween direction="horizontal" size="xs">
              {value !== undefined && (
                <CopyToClipboard
                  variant="button"
                  textToCopy={value}
                  copyButtonText="Copy"
                  copySuccessText="Copied"
                  copyErrorText="Could not be copied"
                />
              )}
              <Button onClick={() => (value === undefined ? show() : setValue(undefined))}>{value === undefined ? "Show the value" : "Hide"}</Button>
              {actions}
            </SpaceBetween>
          }
        >
          Value
        </Header>
      }
    >
      {error && <Alert type="error">{error.message}</Alert>}
      {value === undefined ? (
        "Not shown"
      ) : (
        <pre className="output" tabIndex={0} aria-label="Value">
          {value}
        </pre>
      )}
    </Container>
  );
}
