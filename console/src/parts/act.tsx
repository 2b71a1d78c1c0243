/** Something that is done to the account: asked once more, shown as the `aws` command that does the same, and told if it fails. */

import Box from "@cloudscape-design/components/box";
import Button from "@cloudscape-design/components/button";
import CopyToClipboard from "@cloudscape-design/components/copy-to-clipboard";
import FormField from "@cloudscape-design/components/form-field";
import Modal from "@cloudscape-design/components/modal";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { type ReactNode, useState } from "react";
import { call } from "../api/call";
import { commandOf } from "../command";
import { useHere } from "../context";
import "./act.css";
import { Failure } from "./failure";

interface Props<T> {
  title: string;
  /** What the button says. */
  word: string;
  service?: string;
  operation: string;
  parameters: object;
  /** Of what AWS's API does not have: how it is done, and by which command. */
  own?: { run: () => Promise<T>; command: string };
  /** What stands in the command instead of some of them: nothing secret does. */
  shown?: object;
  onClose: () => void;
  /** What came of it. An error thrown here is shown as one of the call. */
  onDone?: (answer: T) => void;
  /** What the server refused, for the field that it is about; it is shown below in any case. */
  onError?: (failure: Error) => void;
  isReady?: boolean;
  size?: "medium" | "large" | "max";
  children?: ReactNode;
}

export function Act<T>(props: Props<T>) {
  const { region } = useHere();
  const [error, setError] = useState<Error>();
  const [isRunning, setRunning] = useState(false);
  const service = props.service ?? "ecs";
  const run = async () => {
    setRunning(true);
    setError(undefined);
    try {
      const answer = await (props.own ? props.own.run() : call<T>(service, props.operation, region, props.parameters));
      props.onDone?.(answer);
      props.onClose();
    } catch (failure) {
      setError(failure as Error);
      props.onError?.(failure as Error);
      setRunning(false);
    }
  };
  return (
    <Modal
      visible
      header={props.title}
      size={props.size ?? "medium"}
      closeAriaLabel="Close"
      onDismiss={props.onClose}
      footer={
        <Box float="right">
          <SpaceBetween direction="horizontal" size="xs">
            <Button variant="link" onClick={props.onClose}>
              Cancel
            </Button>
            <Button variant="primary" onClick={run} loading={isRunning} disabled={props.isReady === false}>
              {props.word}
            </Button>
          </SpaceBetween>
        </Box>
      }
    >
      <SpaceBetween size="l">
        {props.children}
        <Command text={props.own?.command ?? commandOf(service, props.operation, { ...props.parameters, ...props.shown })} />
        {error && <Failure of={error} />}
      </SpaceBetween>
    </Modal>
  );
}

/** A command, to be copied. */
export function Command({ text }: { text: string }) {
  return (
    <FormField
      label="The same by command"
      stretch
      info={
        <CopyToClipboard
          variant="icon"
          textToCopy={text}
          copyButtonAriaLabel="Copy the command"
          copySuccessText="Copied"
          copyErrorText="Could not be copied"
        />
      }
    >
      <pre className="command" tabIndex={0} aria-label="Command">
        {text}
      </pre>
    </FormField>
  );
}
