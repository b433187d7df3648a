/** Buttons, fields and dialogs: the library's accessible parts in this page's clothes. */
import type { ReactNode } from "react";
import {
  Button as AriaButton,
  type ButtonProps as AriaButtonProps,
  Checkbox as AriaCheckbox,
  Dialog as AriaDialog,
  Select as AriaSelect,
  type CheckboxProps,
  Heading,
  Input,
  Label,
  ListBox,
  ListBoxItem,
  Modal,
  ModalOverlay,
  Popover,
  SelectValue,
  Text,
  TextArea,
  TextField,
} from "react-aria-components";
import { Link } from "wouter";
import { Icon, type IconName } from "./Icon";

type Look = "usual" | "main" | "plain" | "bad";

function clothes(look: Look, compact: boolean | undefined): string {
  return `button${look === "usual" ? "" : ` ${look}`}${compact ? " compact" : ""}`;
}

interface ButtonProps extends Omit<AriaButtonProps, "className" | "style" | "children"> {
  look?: Look;
  compact?: boolean;
  icon?: IconName;
  children?: ReactNode;
}

export function Button({ look = "usual", compact, icon, children, ...rest }: ButtonProps) {
  return (
    <AriaButton className={clothes(look, compact)} {...rest}>
      {icon && <Icon name={icon} />}
      {children}
    </AriaButton>
  );
}

/** A link within the page that looks like a button. */
export function ButtonLink(props: {
  href: string;
  look?: Look;
  compact?: boolean;
  icon?: IconName;
  children: ReactNode;
}) {
  return (
    <Link href={props.href} className={clothes(props.look ?? "usual", props.compact)}>
      {props.icon && <Icon name={props.icon} />}
      {props.children}
    </Link>
  );
}

export interface Choice {
  value: string;
  label: string;
  explained?: string;
  disabled?: boolean;
}

export function Select(props: {
  label: string;
  hideLabel?: boolean;
  value: string;
  choices: Choice[];
  onChange: (value: string) => void;
  isDisabled?: boolean;
}) {
  return (
    <AriaSelect
      className="field"
      value={props.value}
      onChange={(value) => {
        if (typeof value === "string") props.onChange(value);
      }}
      isDisabled={props.isDisabled ?? false}
      {...(props.hideLabel ? { "aria-label": props.label } : {})}
    >
      {!props.hideLabel && <Label>{props.label}</Label>}
      <AriaButton className="button select-button">
        <SelectValue>{({ defaultChildren, selectedText }) => selectedText ?? defaultChildren}</SelectValue>
        <Icon name="chevron" />
      </AriaButton>
      <Popover className="popover">
        <ListBox className="options">
          {props.choices.map((choice) => (
            <ListBoxItem
              key={choice.value}
              id={choice.value}
              className="option"
              textValue={choice.label}
              isDisabled={choice.disabled ?? false}
            >
              <Text slot="label">{choice.label}</Text>
              {choice.explained && (
                <Text slot="description" className="explained">
                  {choice.explained}
                </Text>
              )}
            </ListBoxItem>
          ))}
        </ListBox>
      </Popover>
    </AriaSelect>
  );
}

export function Field(props: {
  label: string;
  hideLabel?: boolean;
  value: string;
  onChange: (value: string) => void;
  placeholder?: string;
  lines?: boolean;
  type?: "text" | "password" | "search";
  wrong?: string | null;
  autoFocus?: boolean;
  isRequired?: boolean;
}) {
  return (
    <TextField
      className="field"
      value={props.value}
      onChange={props.onChange}
      type={props.type ?? "text"}
      isInvalid={Boolean(props.wrong)}
      isRequired={props.isRequired ?? false}
      autoFocus={props.autoFocus ?? false}
      autoComplete="off"
      spellCheck="false"
      {...(props.hideLabel ? { "aria-label": props.label } : {})}
    >
      {!props.hideLabel && <Label>{props.label}</Label>}
      {props.lines ? (
        <TextArea placeholder={props.placeholder ?? ""} />
      ) : (
        <Input placeholder={props.placeholder ?? ""} />
      )}
      {props.wrong && (
        <Text slot="errorMessage" className="wrong">
          {props.wrong}
        </Text>
      )}
    </TextField>
  );
}

export function Checkbox({
  children,
  ...rest
}: Omit<CheckboxProps, "className" | "style" | "children"> & { children?: ReactNode }) {
  return (
    <AriaCheckbox className="check" {...rest}>
      <span className="box">
        <Icon name="check" />
      </span>
      {children}
    </AriaCheckbox>
  );
}

export function Dialog(props: {
  title: string;
  isOpen: boolean;
  onClose: () => void;
  children: ReactNode;
  role?: "dialog" | "alertdialog";
}) {
  return (
    <ModalOverlay
      className="veil"
      isOpen={props.isOpen}
      onOpenChange={(open) => {
        if (!open) props.onClose();
      }}
      isDismissable
    >
      <Modal className="dialog-frame">
        <AriaDialog className="dialog" role={props.role ?? "dialog"}>
          <Heading slot="title" level={2}>
            {props.title}
          </Heading>
          {props.children}
        </AriaDialog>
      </Modal>
    </ModalOverlay>
  );
}
