/** A table of things that are read live: filter, sorting, pages, and what to say when there is none. */

import { useCollection } from "@cloudscape-design/collection-hooks";
import Alert from "@cloudscape-design/components/alert";
import Box from "@cloudscape-design/components/box";
import Header from "@cloudscape-design/components/header";
import Pagination from "@cloudscape-design/components/pagination";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Table, { type TableProps } from "@cloudscape-design/components/table";
import TextFilter from "@cloudscape-design/components/text-filter";
import type { ReactNode } from "react";
import type { Live } from "../api/live";

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
  const { items, collectionProps, filterProps, paginationProps, filteredItemsCount } = useCollection(all, {
    filtering: {
      empty: <Box textAlign="center">{props.empty ?? `No ${nouns}`}</Box>,
      noMatch: <Box textAlign="center">No {noun} matches</Box>,
    },
    pagination: { pageSize: 50 },
    sorting: {},
  });
  return (
    <SpaceBetween size="s">
      {live.error && (
        <Alert type="error" header={`The ${nouns} could not be read`}>
          {live.error.message}
        </Alert>
      )}
      <Table<T>
        {...collectionProps}
        variant={props.variant ?? "container"}
        items={items}
        columnDefinitions={columns}
        trackBy={keyOf}
        wrapLines={props.wrapLines}
        loading={live.value === undefined && !live.error}
        loadingText={`Reading the ${nouns}`}
        enableKeyboardNavigation
        header={
          <Header counter={live.value && `(${all.length})`} actions={props.actions} description={props.description}>
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
        pagination={all.length > 50 ? <Pagination {...paginationProps} /> : undefined}
      />
    </SpaceBetween>
  );
}
