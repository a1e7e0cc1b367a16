"""Chats as tokens: records of any usual format as messages, and templates that make ids and mask of these together."""

from scratchgrad.tools.data.chat.jinja import JinjaTemplate
from scratchgrad.tools.data.chat.messages import Message
from scratchgrad.tools.data.chat.records import ChatSource, format_of, messages_of
from scratchgrad.tools.data.chat.template import ChatTemplate, Part, chat_template, template_names

__all__ = [
    "ChatSource",
    "ChatTemplate",
    "JinjaTemplate",
    "Message",
    "Part",
    "chat_template",
    "format_of",
    "messages_of",
    "template_names",
]
