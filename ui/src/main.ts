import './locale';
import { mount } from 'svelte';
import 'katex/dist/katex.min.css';
import 'uplot/dist/uPlot.min.css';
import './style/theme.css';
import './style/base.css';
import './style/code.css';
import App from './App.svelte';
import { desktop, desktopChats, desktopHub } from './api';
import { AppState } from './state/app.svelte';

const target = document.getElementById('app');
if (!target) throw new Error('index.html has no #app');
mount(App, { target, props: { state: new AppState(desktop, desktopHub, desktopChats, localStorage) } });
