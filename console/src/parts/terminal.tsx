/** A terminal that is a container's. */

import "@xterm/xterm/css/xterm.css";
import { Terminal as Xterm } from "@xterm/xterm";
import { useEffect, useRef } from "react";
import { call } from "../api/call";
import { type Session, Shell } from "../api/shell";
import "./terminal.css";

interface Props {
  region: string;
  cluster: string;
  task: string;
  container: string;
  command: string;
  onEnd: (words: string) => void;
}

const CELL = { width: 8.43, height: 17 };

export default function Terminal({ region, cluster, task, container, command, onEnd }: Props) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!place.current) return;
    const screen = new Xterm({ cursorBlink: false, fontSize: 14, lineHeight: 1.1, screenReaderMode: true, theme: { background: "#0f1b2a" } });
    let shell: Shell | undefined;
    let isOver = false;
    openWithSheets(screen, place.current);
    const fit = () => {
      const box = place.current?.getBoundingClientRect();
      if (box) screen.resize(Math.max(20, Math.floor((box.width - 36) / CELL.width)), Math.max(5, Math.floor((box.height - 20) / CELL.height)));
    };
    fit();
    const sizes = new ResizeObserver(fit);
    sizes.observe(place.current);
    screen.onData((text) => shell?.type(text));
    screen.onResize(({ rows, cols }) => shell?.resize(rows, cols));
    call<{ session: Session }>("ecs", "ExecuteCommand", region, { cluster, task, container, command, interactive: true }).then(
      ({ session }) => {
        if (isOver) return;
        shell = new Shell(
          session,
          (bytes) => screen.write(bytes),
          (words) => !isOver && onEnd(words),
        );
        shell.resize(screen.rows, screen.cols);
        screen.focus();
      },
      (error: Error) => !isOver && onEnd(error.message),
    );
    return () => {
      isOver = true;
      sizes.disconnect();
      shell?.close();
      screen.dispose();
    };
  }, [region, cluster, task, container, command, onEnd]);
  return <div ref={place} className="shell-screen" />;
}

/**
 * The terminal writes style sheets into the page, which the content security policy forbids; sheets that a script makes
 * as objects are allowed. So while it opens, what it takes for a style element is a place that keeps such a sheet.
 */
function openWithSheets(screen: Xterm, place: HTMLElement): void {
  const create = document.createElement;
  document.createElement = ((name: string, options?: ElementCreationOptions) =>
    name === "style" ? sheetElement(create.call(document, "span")) : create.call(document, name, options)) as typeof create;
  try {
    screen.open(place);
  } finally {
    document.createElement = create;
  }
}

function sheetElement(element: HTMLElement): HTMLElement {
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets.push(sheet);
  element.hidden = true;
  Object.defineProperty(element, "textContent", {
    get: () => Array.from(sheet.cssRules, (rule) => rule.cssText).join("\n"),
    set: (text: string) => sheet.replaceSync(text),
  });
  Object.defineProperty(element, "sheet", { get: () => sheet });
  const remove = element.remove.bind(element);
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((each) => each !== sheet);
    remove();
  };
  return element;
}
