/** A modal dialog: the browser keeps focus inside and the rest of the page inert. */

import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";

export function Dialog(props: {
  readonly title: string;
  readonly onCancel: (() => void) | undefined;
  /** Another one puts the focus back on the title: what stood here is gone. */
  readonly step: string;
  readonly children: ComponentChildren;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const title = useRef<HTMLHeadingElement>(null);
  // Before anything of it can be seen: a key that is pressed at once must not reach what lies under it.
  useLayoutEffect(() => {
    const element = dialog.current;
    if (element !== null && !element.open) element.showModal();
    return () => element?.close();
  }, []);
  useLayoutEffect(() => title.current?.focus(), [props.step]);
  return (
    <dialog
      ref={dialog}
      aria-labelledby={id}
      onCancel={(event) => {
        // Escape does what the button does, and nothing where there is none.
        event.preventDefault();
        props.onCancel?.();
      }}
    >
      <div class="sheet">
        <h2 id={id} ref={title} tabIndex={-1}>
          {props.title}
        </h2>
        {props.children}
      </div>
    </dialog>
  );
}
