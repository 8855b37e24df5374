/** Line icons, 24 by 24, drawn for this page. They repeat what stands beside them and are hidden from readers. */

const PATHS = {
  home: "M4 11.5 12 5l8 6.5M6 10v9h4.5v-5h3v5H18v-9",
  activity: "M4 12h3.5l2.5-6.5 4 13L16.5 12H20",
  devices:
    "M4 6.5A1.5 1.5 0 0 1 5.5 5h11A1.5 1.5 0 0 1 18 6.5V9M4 6.5V15h9M2.5 18H13M16 11h4a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1h-4a1 1 0 0 1-1-1v-6a1 1 0 0 1 1-1",
  settings: "M5 7h9M18 7h1M5 17h1M10 17h9M5 12h3M12 12h7M16 5.2v3.6M8 15.2v3.6M10 10.2v3.6",
  receive: "M12 5v11M7 11.5l5 5 5-5M5 20h14",
  send: "M12 19V8M7 12.5l5-5 5 5M5 4h14",
  copy: "M9 9h10v10H9zM15 9V5H5v10h4",
  close: "m6 6 12 12M18 6 6 18",
  check: "m5 12.5 4.5 4.5L19 7.5",
  back: "M19 12H5M11 6l-6 6 6 6",
  down: "m6 9.5 6 6 6-6",
  next: "m9.5 6 6 6-6 6",
  plus: "M12 5v14M5 12h14",
  shield: "M12 3.5 19 6v5.5c0 4.5-3 7.5-7 9-4-1.5-7-4.5-7-9V6zM9 12l2.2 2.2L15.2 10",
  warning: "M12 4.5 21 19.5H3zM12 10v4.5M12 17v.2",
  info: "M12 3.5a8.5 8.5 0 1 1 0 17 8.5 8.5 0 0 1 0-17M12 11v5M12 8v.2",
  eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12M12 9.2a2.8 2.8 0 1 1 0 5.6 2.8 2.8 0 0 1 0-5.6",
  eyeOff:
    "M4 4l16 16M9.5 5.9A9 9 0 0 1 12 5.5c6 0 9.5 6.5 9.5 6.5a17 17 0 0 1-3 3.7M6.2 7.5A16 16 0 0 0 2.5 12S6 18.5 12 18.5a9 9 0 0 0 4-1",
  delete: "M9 6h11v12H9l-6-6zM12 9.5l5 5M17 9.5l-5 5",
  outside: "M13 5h6v6M19 5l-8 8M17 14v5H5V7h5",
  leave: "M14 5h5v14h-5M4 12h11M8 8l-4 4 4 4",
  shuffle: "M4 7h3l9 10h4M4 17h3l2.5-2.8M13.5 9.8 16 7h4M18 5l2 2-2 2M18 15l2 2-2 2",
  key: "M8 9.5a3.5 3.5 0 1 1 0 7 3.5 3.5 0 0 1 0-7M11 12l9-6M16.5 8.3l2 3",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { readonly name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** The mark beside the name. */
export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="9" />
      <path d="M16 6.5 24 9.6v6.1c0 4.9-3.3 8.4-8 9.8-4.7-1.4-8-4.9-8-9.8V9.6zM16 16v4" />
      <circle cx="16" cy="14.6" r="2.2" />
    </svg>
  );
}
