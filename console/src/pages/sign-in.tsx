/** The way in where signatures are checked: by an access key, which is sent once and kept nowhere. */

import Alert from "@cloudscape-design/components/alert";
import Box from "@cloudscape-design/components/box";
import Button from "@cloudscape-design/components/button";
import Container from "@cloudscape-design/components/container";
import ExpandableSection from "@cloudscape-design/components/expandable-section";
import FormField from "@cloudscape-design/components/form-field";
import Header from "@cloudscape-design/components/header";
import Input from "@cloudscape-design/components/input";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { useEffect, useState } from "react";
import { signIn } from "../api/call";
import { applyDark, prefersDark } from "../mode";
import "./sign-in.css";

export function SignIn({ onSignedIn, isOver }: { onSignedIn: () => void; isOver: boolean }) {
  const [accessKeyId, setId] = useState("");
  const [secretAccessKey, setSecret] = useState("");
  const [sessionToken, setToken] = useState("");
  const [error, setError] = useState<Error>();
  const [isRunning, setRunning] = useState(false);
  useEffect(() => {
    document.title = "Sign in – Portside";
    applyDark(prefersDark());
  }, []);
  const submit = async () => {
    setRunning(true);
    setError(undefined);
    try {
      await signIn({ accessKeyId: accessKeyId.trim(), secretAccessKey: secretAccessKey.trim(), sessionToken: sessionToken.trim() });
      onSignedIn();
    } catch (failure) {
      setError(failure as Error);
      setRunning(false);
    }
  };
  return (
    <main className="sign-in">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <Container header={<Header variant="h1">Sign in to Portside</Header>}>
          <SpaceBetween size="l">
            {isOver && !error && <Alert>You have signed out, or your time is over.</Alert>}
            {!isSecureContext && (
              <Alert type="warning" header="This page came over the network unencrypted">
                So would your key go back. Use a tunnel to the machine (ssh -L 4566:127.0.0.1:4566) and open http://127.0.0.1:4566/ instead.
              </Alert>
            )}
            <Box variant="p">
              With the instance&#39;s own key, which <code>portside env</code> prints, or that of a session.
            </Box>
            <FormField label="Access key ID">
              <Input value={accessKeyId} onChange={({ detail }) => setId(detail.value)} autoComplete="username" autoFocus />
            </FormField>
            <FormField label="Secret access key">
              <Input
                type="password"
                value={secretAccessKey}
                onChange={({ detail }) => setSecret(detail.value)}
                autoComplete="current-password"
              />
            </FormField>
            <ExpandableSection headerText="A session's key">
              <FormField label="Session token">
                <Input type="password" value={sessionToken} onChange={({ detail }) => setToken(detail.value)} autoComplete="off" />
              </FormField>
            </ExpandableSection>
            {error && (
              <Alert type="error" header="It failed">
                {error.message}
              </Alert>
            )}
            <Button variant="primary" formAction="submit" loading={isRunning} disabled={!accessKeyId || !secretAccessKey}>
              Sign in
            </Button>
          </SpaceBetween>
        </Container>
      </form>
    </main>
  );
}
