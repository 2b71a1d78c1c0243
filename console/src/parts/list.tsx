/** A table of things that are read live: filter, sorting, and what to say when there is none. */

import { useCollection } from "@cloudscape-design/collection-hooks";
import Alert from "@cloudscape-design/components/alert";
import Box from "@cloudscape-design/components/box";
import Header from "@cloudscape-design/components/header";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Table, { type TableProps } from "@cloudscape-design/components/table";
import TextFilter from "@cloudscape-design/components/text-filter";
import { type ReactNode, useRef } from "react";
import type { Live } from "../api/live";
import { ALL, useRoom, useRows } from "./window";

interface Props<T> {
  title: string;
  noun: string;
  /** Where it is not the noun with an s. */
  plural?: string;
  live: Live<T[]>;
  columns: TableProps.ColumnDefinition<T>[];
  keyOf: (item: T) => string;
  actions?: ReactNode;
  filters?: ReactNode;
  variant?: TableProps.Variant;
  empty?: ReactNode;
  description?: ReactNode;
  wrapLines?: boolean;
}

export function List<T>(props: Props<T>) {
  const { title, noun, live, columns, keyOf } = props;
  const all = live.value ?? [];
  const nouns = props.plural ?? `${noun}s`;
  const { items, collectionProps, filterProps, filteredItemsCount } = useCollection(all, {
    filtering: {
      empty: <Box textAlign="center">{props.empty ?? `No ${nouns}`}</Box>,
      noMatch: <Box textAlign="center">No {noun} matches</Box>,
    },
    sorting: {},
  });
  const around = useRef<HTMLDivElement>(null);
  const seen = useRows(items.length, around);
  const room = useRoom(seen);
  return (
    <SpaceBetween size="s">
      {live.error && (
        <Alert type="error" header={`The ${nouns} could not be read`}>
          {live.error.message}
        </Alert>
      )}
      <div className={room} ref={around}>
        <Table<T>
          {...collectionProps}
          variant={props.variant ?? "container"}
          items={seen.start === 0 && seen.end === items.length ? items : items.slice(seen.start, seen.end)}
          totalItemsCount={items.length}
          firstIndex={seen.start + 1}
          columnDefinitions={columns}
          trackBy={keyOf}
          wrapLines={props.wrapLines}
          loading={live.value === undefined && !live.error}
          loadingText={`Reading the ${nouns}`}
          // Cells are walked through by keys where all rows are made.
          enableKeyboardNavigation={items.length <= ALL}
          header={
            <Header counter={live.value && `(${all.length}${live.isPart ? "+" : ""})`} actions={props.actions} description={props.description}>
              {title}
            </Header>
          }
          filter={
            <SpaceBetween size="s" direction="horizontal">
              <TextFilter
                {...filterProps}
                filteringPlaceholder={`Find ${nouns}`}
                filteringAriaLabel={`Find ${nouns}`}
                countText={filteredItemsCount === undefined ? "" : `${filteredItemsCount} found`}
              />
              {props.filters}
            </SpaceBetween>
          }
        />
      </div>
    </SpaceBetween>
  );
}
