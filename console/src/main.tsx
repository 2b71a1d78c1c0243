/** The console begins: it asks who Portside is, then shows itself. */

import "@cloudscape-design/global-styles/index.css";
import { I18nProvider } from "@cloudscape-design/components/i18n";
import messages from "@cloudscape-design/components/i18n/messages/all.en";
import type { ReactNode } from "react";
import { createRoot } from "react-dom/client";
import { about, onSignedOut } from "./api/call";
import { followWhileSeen, leave } from "./api/changes";
import { App, warm } from "./app";

const place = document.getElementById("root");
if (!place) throw new Error("the page has no root");
const root = createRoot(place);

let wasIn = false;

function shown(page: ReactNode): void {
  root.render(
    <I18nProvider locale="en" messages={[messages]}>
      {page}
    </I18nProvider>,
  );
}

/** The console, or first the way in where one is asked for. */
async function begin(): Promise<void> {
  try {
    const found = await about();
    if ("wants" in found) {
      leave();
      const { SignIn } = await import("./pages/sign-in");
      shown(<SignIn isOver={wasIn} onSignedIn={() => void begin()} />);
      return;
    }
    wasIn = true;
    shown(<App about={found} onSignedOut={() => void begin()} />);
  } catch (error) {
    root.render(<p role="alert">The console can not be shown: {(error as Error).message}</p>);
  }
}

onSignedOut(() => void begin());
followWhileSeen();
warm();
void begin();
