/** Going to another account: where no key is asked for, any twelve digits are one. */

import Box from "@cloudscape-design/components/box";
import Button from "@cloudscape-design/components/button";
import FormField from "@cloudscape-design/components/form-field";
import Input from "@cloudscape-design/components/input";
import Modal from "@cloudscape-design/components/modal";
import { useState } from "react";

export function SwitchAccount({ onChosen, onClose }: { onChosen: (account: string) => void; onClose: () => void }) {
  const [account, setAccount] = useState("");
  const isAccount = /^\d{12}$/.test(account);
  const choose = () => {
    if (!isAccount) return;
    onChosen(account);
    onClose();
  };
  return (
    <Modal
      visible
      header="Another account"
      closeAriaLabel="Close"
      onDismiss={onClose}
      footer={
        <Box float="right">
          <Button variant="primary" disabled={!isAccount} onClick={choose}>
            Switch
          </Button>
        </Box>
      }
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          choose();
        }}
      >
        <FormField
          label="Account"
          description="Twelve digits. A client is in it with them as its access key id."
          errorText={account && !isAccount ? "Twelve digits" : undefined}
        >
          <Input value={account} onChange={({ detail }) => setAccount(detail.value)} inputMode="numeric" autoFocus />
        </FormField>
      </form>
    </Modal>
  );
}
