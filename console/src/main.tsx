/** The console begins: it asks who Portside is, then shows itself. */

import "@cloudscape-design/global-styles/index.css";
import { I18nProvider } from "@cloudscape-design/components/i18n";
import messages from "@cloudscape-design/components/i18n/messages/all.en";
import { createRoot } from "react-dom/client";
import { about } from "./api/call";
import { followWhileSeen } from "./api/changes";
import { App } from "./app";

const place = document.getElementById("root");
if (!place) throw new Error("the page has no root");
const root = createRoot(place);

followWhileSeen();
about().then(
  (found) =>
    root.render(
      <I18nProvider locale="en" messages={[messages]}>
        <App about={found} />
      </I18nProvider>,
    ),
  (error: Error) => root.render(<p role="alert">The console can not be shown: {error.message}</p>),
);
